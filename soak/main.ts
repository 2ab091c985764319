/** `npm run soak -- --minutes N --tenants K --seed S`: exits with an error if a guarantee broke. */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Effect, type Exit, Option, Runtime, Schema } from "effect"
import { Command, Flag } from "effect/cli"
import * as Soak from "./Soak.ts"
import * as Report from "./Summary.ts"

class GuaranteeBroken extends Schema.TaggedError<GuaranteeBroken>()("GuaranteeBroken", { violations: Schema.Int }) {
  override get message() {
    return `${this.violations} violations`
  }
}

const flags = {
  minutes: Flag.Finite("minutes").pipe(
    Flag.withDescription("How long the workload and the nemesis run"),
    Flag.withDefault(1)
  ),
  tenants: Flag.Int("tenants").pipe(Flag.withDescription("How many databases"), Flag.withDefault(8)),
  seed: Flag.String("seed").pipe(
    Flag.withDescription("Determines what is done, though not when; by default a new one"),
    Flag.optional
  ),
  dropTrigger: Flag.String("drop-trigger").pipe(
    Flag.withDescription(
      "A trigger of systemplane_entries to drop until the writers stop: the soak must find what is missing then"
    ),
    Flag.optional
  )
}

const newSeed = Effect.sync(() => Math.floor(Math.random() * 1e9).toString(36))

const soak = Command.make("soak", flags, ({ dropTrigger, minutes, seed, tenants }) =>
  Effect.gen(function* () {
    const given = {
      minutes,
      tenants,
      seed: Option.isSome(seed) ? seed.value : yield* newSeed,
      dropTrigger: Option.getOrUndefined(dropTrigger)
    }
    const dropped = given.dropTrigger === undefined ? "" : ` --drop-trigger ${given.dropTrigger}`
    const command = `npm run soak -- --minutes ${minutes} --tenants ${tenants} --seed ${given.seed}${dropped}`
    const result = yield* Effect.scoped(Soak.run(given, command))
    yield* Effect.sync(() => console.log(Report.render(result)))
    const violations = result.violations.total()
    if (violations > 0) return yield* new GuaranteeBroken({ violations })
  })
).pipe(Command.withDescription("Writes, reads and breaks things at random, and checks every guarantee"))

// Ends the process in any case: Node would wait for a socket that was cut and is still open on its side.
function teardown<E, A>(exit: Exit.Exit<E, A>, onExit: (code: number) => void) {
  Runtime.defaultTeardown(exit, (code) => {
    onExit(code)
    process.exit(code)
  })
}

soak.pipe(Command.run({ version: "0.1.0" }), Effect.provide(NodeServices.layer), NodeRuntime.runMain({ teardown }))
