import * as ConnectBudget from "../../src/layers/ConnectBudget.ts"

/** How many connections services below the plane may open: what a plane may by default. */
export const budget = () => ConnectBudget.layer({ maxConcurrentActivations: 8, maxConnectsPerSecond: 200 })
