import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { Config, TenantManager } from "effect-systemplane"
import { Burst, Limit } from "../support/keys.ts"
import { collect } from "../support/Observe.ts"
import { eventually, type TestDatabase } from "../support/TestDatabase.ts"
import * as ProxiedPlane from "./ProxiedPlane.ts"

const write = (database: TestDatabase, value: unknown) => database.write(Limit.namespace, Limit.key, value)

const suspend = TenantManager.use((manager) => manager.suspend("acme"))
const activate = TenantManager.use((manager) => manager.activate("acme"))

/** No verification within the test could make up for what was missed. */
const patient = { maxStaleness: "1 hour" } as const

describe("a write during an activation", () => {
  it.live("G1: a write during an activation is seen if it commits before, between or after the server's answers", () =>
    ProxiedPlane.run(
      ({ acme, proxy }) =>
        Effect.gen(function* () {
          let answers = 0
          for (let held = true; held; answers++) {
            yield* suspend
            yield* proxy.hold("toClient", answers)
            const activation = yield* Effect.forkScoped(activate)
            const isHeld = Effect.map(proxy.underWay("toClient"), (pieces) => pieces > 0)
            yield* eventually(
              "an answer is held back, or there is none left",
              Effect.map(isHeld, (held) => held || activation.pollUnsafe() !== undefined)
            )
            held = yield* isHeld
            yield* write(acme, answers + 1)
            yield* proxy.release
            yield* Fiber.join(activation)
            yield* ProxiedPlane.seen(Limit, answers + 1)
          }
          // At least: who are you, you are in, LISTEN, which database is this, what differs.
          assert.isAtLeast(answers, 5)
        }),
      patient
    )
  )

  it.live("G1: a write during an activation is seen wherever it happens to fall", () =>
    ProxiedPlane.run(
      ({ acme }) =>
        Effect.gen(function* () {
          for (let round = 1; round <= 10; round++) {
            yield* suspend
            const turns = round
            yield* Effect.all(
              [activate, Effect.andThen(Effect.repeat(Effect.yieldNow, { times: turns }), write(acme, round))],
              { concurrency: 2 }
            )
            yield* ProxiedPlane.seen(Limit, round)
          }
        }),
      patient
    )
  )
})

describe("an older read is answered after something newer is known", () => {
  /** The answer to a read that saw 8 is kept from the plane while `meanwhile` runs. */
  const whileItIsUnderWay = <A, E, R>(
    meanwhile: (world: ProxiedPlane.World) => Effect.Effect<A, E, R>,
    expected: ReadonlyArray<number>,
    {
      before = 7,
      skippable = []
    }: {
      /** What was stored before 8; 600, the default: no row. */
      readonly before?: number
      /** If two changes follow each other, the former may be skipped. */
      readonly skippable?: ReadonlyArray<number>
    } = {}
  ) =>
    ProxiedPlane.run(
      (world) =>
        Effect.gen(function* () {
          const { acme, proxy } = world
          if (before !== 600) yield* write(acme, before)
          yield* ProxiedPlane.seen(Limit, before)
          const changes = yield* collect(Config.changes(Limit))
          // A subscriber is first told of a loaded value that is not the default.
          const loaded = before === 600 ? [] : [before]
          yield* eventually(
            "the subscriber is told what was loaded",
            Effect.sync(() => changes.length === loaded.length)
          )
          // The notification may pass; the answer to the read that it prompts may not.
          yield* proxy.hold("toClient", 1)
          yield* write(acme, 8)
          yield* eventually(
            "the answer is held back",
            Effect.map(proxy.underWay("toClient"), (pieces) => pieces === 1)
          )
          assert.strictEqual(yield* Config.get(Limit), before)
          const result = yield* meanwhile(world)
          yield* proxy.release
          // What is pushed after it shows that the older answer has arrived.
          yield* acme.write(Burst.namespace, Burst.key, 1)
          yield* ProxiedPlane.seen(Burst, 1)
          assert.deepStrictEqual(
            changes.map(({ value }) => value).filter((value) => !skippable.includes(value)),
            [...loaded, ...expected]
          )
          assert.strictEqual(yield* Config.get(Limit), expected.at(-1) ?? before)
          return result
        }),
      { ...patient, seedDefaults: false }
    )

  it.live("G2: a late answer does not bring back a row that we deleted", () =>
    whileItIsUnderWay(() => Config.remove(Limit, { actor: "ada" }), [600])
  )

  it.live("G2: a late answer does not replace a newer row that we wrote", () =>
    whileItIsUnderWay(() => Config.set(Limit, 9, { actor: "ada" }), [9])
  )

  it.live("G2: a late answer does not replace a row that we deleted and created again", () =>
    whileItIsUnderWay(
      () => Effect.andThen(Config.remove(Limit, { actor: "ada" }), Config.set(Limit, 9, { actor: "ada" })),
      [9],
      { skippable: [600] }
    )
  )

  it.live("G2: a late answer does not bring back a row that we deleted before it was known", () =>
    whileItIsUnderWay(() => Config.remove(Limit, { actor: "ada" }), [], { before: 600 })
  )

  it.live("G2: a late answer does not bring back a row that our removal found already deleted", () =>
    whileItIsUnderWay(
      ({ acme }) => Effect.andThen(acme.erase(Limit.namespace, Limit.key), Config.remove(Limit, { actor: "ada" })),
      [],
      { before: 600 }
    )
  )

  it.live(
    "G2: a row that another process deleted shows its older value before the deletion is known, and not after",
    () => whileItIsUnderWay(({ acme }) => acme.erase(Limit.namespace, Limit.key), [8, 600])
  )
})
