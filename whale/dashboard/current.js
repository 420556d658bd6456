/** The page of the moment, for what outlives one: cards. main.js sets it. */
export const current = { page: null }
