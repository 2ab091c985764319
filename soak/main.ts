/** `npm run soak -- --minutes N --tenants K --seed S`: ends with an error where a guarantee broke. */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Effect, type Exit, Option, Runtime, Schema } from "effect"
import { Command, Flag } from "effect/cli"
import * as Report from "./report.ts"
import * as Soak from "./soak.ts"

class GuaranteeBroken extends Schema.TaggedError<GuaranteeBroken>()("GuaranteeBroken", { violations: Schema.Int }) {
  override get message() {
    return `${this.violations} violations`
  }
}

const flags = {
  minutes: Flag.Finite("minutes").pipe(
    Flag.withDescription("How long things are written, read and broken"),
    Flag.withDefault(1)
  ),
  tenants: Flag.Int("tenants").pipe(Flag.withDescription("How many databases"), Flag.withDefault(8)),
  seed: Flag.String("seed").pipe(
    Flag.withDescription("What is chosen follows from it, though not when it happens; by default a new one"),
    Flag.optional
  )
}

const newSeed = Effect.sync(() => Math.floor(Math.random() * 1e9).toString(36))

const soak = Command.make("soak", flags, ({ minutes, seed, tenants }) =>
  Effect.gen(function* () {
    const given = { minutes, tenants, seed: Option.isSome(seed) ? seed.value : yield* newSeed }
    const command = `npm run soak -- --minutes ${minutes} --tenants ${tenants} --seed ${given.seed}`
    const result = yield* Effect.scoped(Soak.run(given, command))
    yield* Effect.sync(() => console.log(Report.render(result)))
    const violations = result.violations.total()
    if (violations > 0) return yield* new GuaranteeBroken({ violations })
  })
).pipe(Command.withDescription("Writes, reads and breaks things at random, and checks every guarantee"))

// Ends the process also where nothing broke: a socket that was cut may be left with Node, which would wait for it.
function teardown<E, A>(exit: Exit.Exit<E, A>, onExit: (code: number) => void) {
  Runtime.defaultTeardown(exit, (code) => {
    onExit(code)
    process.exit(code)
  })
}

soak.pipe(Command.run({ version: "0.1.0" }), Effect.provide(NodeServices.layer), NodeRuntime.runMain({ teardown }))
