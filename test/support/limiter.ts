import * as ConnectLimiter from "../../src/layers/runtime/ConnectLimiter.ts"

/** How many connections services below the plane may open: what a plane may by default. */
export const limiter = () => ConnectLimiter.layer({ maxConcurrentActivations: 8, maxConnectsPerSecond: 200 })
