/**
 * `npm run bench`: us, the peers and the floor, measured in one run; one line per ratio. See `bench/README.md`.
 */
import { writeFile } from "node:fs/promises"
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Console, Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import * as Feed from "./Feed.ts"
import * as Growth from "./Growth.ts"
import * as Herd from "./Herd.ts"
import * as History from "./History.ts"
import * as Machine from "./Machine.ts"
import * as Read from "./Read.ts"
import * as Report from "./Report.ts"
import { matching } from "./Section.ts"
import * as Session from "./Session.ts"

// What is weighed comes before feeds and herds: what they leave behind is let go seconds later, in the middle of it.
const all = [
  ...Read.sections,
  ...Session.sections,
  ...Feed.sections,
  ...Herd.sections,
  ...History.sections,
  ...Growth.sections
]

const results = new URL("results/", import.meta.url)

const flags = {
  quick: Flag.Boolean("quick").pipe(
    Flag.withDescription("Fewer rounds and smaller herds: the whole in about three minutes"),
    Flag.withDefault(false)
  ),
  json: Flag.String("json").pipe(Flag.withDescription("Write the rows to this file too"), Flag.optional),
  only: Flag.String("only").pipe(
    Flag.withDescription("Only what is measured with the rows of this name"),
    Flag.optional
  )
}

const bench = Command.make(
  "bench",
  flags,
  Effect.fn(function* ({ json, only, quick }) {
    const chosen = Option.match(only, { onNone: () => all, onSome: (text) => matching(all, text) })
    if (chosen.length === 0) return yield* Effect.fail(new Error("no row has that in its name"))
    const machine = Machine.describe()
    yield* Console.log(`${machine.summary}\n\n${Report.heading}`)
    const rows: Array<Report.Row> = []
    for (const section of chosen) {
      const measured = yield* Effect.scoped(section.measure({ quick, results }))
      rows.push(...measured)
      for (const row of measured) yield* Console.log(`${Report.line(row)}\n    ${row.sides}\n    ${row.note}`)
    }
    if (Option.isSome(json)) {
      const text = JSON.stringify({ machine, quick, rows }, null, 2)
      yield* Effect.promise(() => writeFile(json.value, `${text}\n`))
    }
  })
)

bench.pipe(Command.run({ version: "0.1.0" }), Effect.provide(NodeServices.layer), NodeRuntime.runMain)
