"""`hailwhale unstamp`: the way back to a version that does not know stamps."""

import click

from whale.commands.entries import HELP, Opened, json_option, said


@click.command("unstamp", context_settings=HELP)
@json_option
def main(json_: bool) -> None:
    """Make an older version able to count, after HAILWHALE_MIRROR_MB was used.

    Set HAILWHALE_MIRROR_MB to 0 and restart what counts first. Else they put stamps there again.
    """
    count = Opened().store.remove_stamps()
    said(f"the stamps of {count} pks are removed", {"pks": count}, json_)
