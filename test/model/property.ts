/** Plays generated histories, and shows one that broke something: shrunk, readable, and how to play it again. */
import * as fc from "fast-check"
import type { Violation } from "../../soak/checks/Violations.ts"

const variable = (name: string) => process.env[`SYSTEMPLANE_MODEL_${name}`] || undefined

export const property =
  <A>(options: {
    /** How many histories, unless the environment says otherwise. */
    readonly runs: number
    readonly history: fc.Arbitrary<A>
    readonly play: (history: A) => Promise<ReadonlyArray<Violation>> | ReadonlyArray<Violation>
    readonly show: (history: A) => string
  }) =>
  async (): Promise<void> => {
    const path = variable("PATH")
    const result = await fc.check(
      fc.asyncProperty(options.history, async (history) => {
        const violations = await options.play(history)
        if (violations.length > 0) throw new Broken(violations)
      }),
      {
        numRuns: Number(variable("RUNS") ?? options.runs),
        seed: Number(variable("SEED") ?? 20_261_125),
        ...(path === undefined ? {} : { path })
      }
    )
    if (!result.failed) return
    const [history] = result.counterexample ?? []
    throw new Error(
      [
        `After ${result.numRuns} histories and ${result.numShrinks} steps of shrinking:`,
        history === undefined ? "  no history" : options.show(history),
        String(result.errorInstance instanceof Error ? (result.errorInstance.stack ?? "") : result.errorInstance),
        `To play it again: SYSTEMPLANE_MODEL_SEED=${result.seed} SYSTEMPLANE_MODEL_PATH=${result.counterexamplePath}`
      ].join("\n")
    )
  }

class Broken extends Error {
  constructor(violations: ReadonlyArray<Violation>) {
    super(
      violations
        .slice(0, 3)
        .flatMap(({ check, context, key, tenant, what }) => [
          `${check} (${tenant ?? ""} ${key ?? ""}): ${what}`,
          ...(context ?? []).map((line) => `    ${line}`)
        ])
        .join("\n")
    )
    this.stack = this.message
  }
}
