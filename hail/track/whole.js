/** All of the tracker: what is in core.js, and what these modules add. */
import { start } from './start.js'
import { users } from './users.js'
import { shop } from './shop.js'
import { marks } from './marked.js'
import { turns } from './turns.js'
import { experiments } from './experiment.js'
// last, since it looks at the options of those above
import { checks } from './checks.js'

start(checks, users, shop, marks, turns, experiments)
