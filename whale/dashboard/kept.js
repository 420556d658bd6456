/** What this browser keeps for its reader: nothing that identifies anybody. A browser that keeps nothing is fine too. */
const within = (storage) => ({
  get: (name) => { try { return storage().getItem(`hailwhale.${name}`) ?? '' } catch { return '' } },
  set: (name, value) => { try { storage().setItem(`hailwhale.${name}`, value) } catch { /* then until the page is left */ } },
})

/** theme, keys (on or off), tiles of each pk. */
export const kept = within(() => localStorage)

/** The read key: until the tab is closed. */
export const keptByTab = within(() => sessionStorage)
