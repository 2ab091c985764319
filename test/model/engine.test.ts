/**
 * Any history of the real engine, on memory and under the test's clock.
 *
 * `SYSTEMPLANE_MODEL_RUNS`, `_SEED` and `_PATH` play more histories, others, or one again.
 */
import { describe, it } from "@effect/vitest"
import { commands, show } from "./Commands.ts"
import { play } from "./play.ts"
import { property } from "./property.ts"

describe("any history of a plane", () => {
  it(
    "G1, G2, G3, G4, G5, G6, G7, G8, G9, G10, G13: hold for every generated history of a plane",
    property({ runs: 120, history: commands, play, show }),
    600_000
  )
})
