"""What is asked of talks with visitors, and what is answered. Each type describes itself to OpenAPI."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from whale.routes.asked import NamesFormat


class ListeningAsked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Of a site."""

    limit: Annotated[int, Meta(description="Number of visitors, 1 to 1,000.")] = 100
    format: NamesFormat = "json"


class TalkAsked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Of a visitor."""

    after: Annotated[int, Meta(description="Id of the last message that you have. Default: all that is kept.")] = 0


class Message(msgspec.Struct):
    id: Annotated[int, Meta(description="Grows from message to message: ms since 1970, or a little more.")]
    by: Literal["visitor", "site"]
    data: Annotated[dict[str, Any], Meta(description="The message. One by a visitor has `text`.")]


class ListeningRow(msgspec.Struct):
    visitor: Annotated[str, Meta(description="The id of their browser.")]
    pages: Annotated[int, Meta(description="How many of their pages listen.")]
    last: Annotated[Message | None, Meta(description="The last message.")]


class Listening(msgspec.Struct):
    rows: Annotated[list[ListeningRow], Meta(description="First those whose pages listen, then those with a talk.")]
    pages: Annotated[int, Meta(description="How many pages of the site listen.")]


class Talk(msgspec.Struct):
    visitor: str
    pages: int
    messages: Annotated[list[Message], Meta(description="The oldest first.")]


class Pushed(msgspec.Struct):
    id: int
    reached: Annotated[int, Meta(description="How many pages of the visitor listen now.")]
