import { assert, describe, it } from "@effect/vitest"
import { Effect, Metric } from "effect"
import { TestClock } from "effect/testing"
import { Config, withTenant } from "effect-systemplane"
import { Burst, Limit } from "../support/keys.ts"
import { upsert } from "../support/ScriptedConnector.ts"
import { activate, breathe, burstKey, limitKey, onPlane, promptly } from "./ScriptedPlane.ts"

const limitChanged = upsert(Limit.namespace, Limit.key)

const limit = Config.entry(Limit).pipe(withTenant("acme"))
const live = activate()

const received = (op: string) =>
  Effect.map(
    Metric.snapshot,
    (snapshots) =>
      snapshots.flatMap((metric) =>
        metric.type === "Counter" &&
        metric.id === "systemplane.manager.notify_received_total" &&
        metric.attributes?.tenant_id === "acme" &&
        metric.attributes.op === op
          ? [Number(metric.state.count)]
          : []
      )[0] ?? 0
  )

describe("notifications", () => {
  it.effect("malformed notifications are counted and change nothing", () =>
    onPlane(function* ({ acme }) {
      yield* live
      const before = yield* received("malformed")
      const reads = acme.reads
      acme.write(limitKey, 1)
      acme.notify("", "{", `{"namespace":"rate-limits"}`, `{"namespace":1,"key":"k","op":"upsert"}`, "null")
      yield* breathe
      assert.strictEqual((yield* received("malformed")) - before, 5)
      assert.strictEqual(acme.reads, reads)
      assert.deepInclude(yield* limit, { value: 600 })
    })
  )

  it.effect("notifications without a revision or with unknown fields are accepted", () =>
    onPlane(function* ({ acme }) {
      yield* live
      acme.write(limitKey, 1)
      acme.notify(JSON.stringify({ namespace: Limit.namespace, key: Limit.key, op: "upsert" }))
      yield* promptly("1", () => acme.reads === 2)
      acme.write(limitKey, 2)
      acme.notify(JSON.stringify({ namespace: Limit.namespace, key: Limit.key, op: "upsert", revision: 9, more: true }))
      yield* promptly("2", () => acme.reads === 3)
      yield* breathe
      assert.deepInclude(yield* limit, { value: 2 })
    })
  )

  it.effect("notifications of undeclared keys cost no read", () =>
    onPlane(function* ({ acme }) {
      yield* live
      const reads = acme.reads
      acme.notify(...Array.from({ length: 100 }, (_, i) => upsert("elsewhere", `key-${i}`)))
      yield* breathe
      assert.strictEqual(acme.reads, reads)
    })
  )

  it.effect("a burst of 10,000 notifications costs a handful of reads, one at a time", () =>
    onPlane(function* ({ acme }) {
      yield* live
      const reads = acme.reads
      for (let i = 1; i <= 10_000; i++) {
        acme.write(limitKey, i)
        acme.notify(limitChanged)
      }
      yield* breathe
      assert.deepInclude(yield* limit, { value: 10_000 })
      assert.isAtMost(acme.reads - reads, 3)
      assert.strictEqual(acme.readsAtOnce, 1)
    })
  )

  it.effect("G1: a notification that arrives during a read is read again, and both keys become visible", () =>
    onPlane(function* ({ acme }) {
      yield* live
      acme.gate.closeUnsafe()
      acme.write(limitKey, 1)
      acme.notify(limitChanged)
      yield* promptly("the first read", () => acme.reads === 2)
      acme.write(limitKey, 2)
      acme.write(burstKey, 5)
      acme.notify(limitChanged, upsert(Burst.namespace, Burst.key))
      yield* breathe
      assert.strictEqual(acme.reads, 2)
      acme.gate.openUnsafe()
      yield* promptly("the second read", () => acme.reads === 3)
      yield* breathe
      assert.deepInclude(yield* limit, { value: 2 })
      assert.strictEqual(yield* Config.get(Burst).pipe(withTenant("acme")), 5)
    })
  )
})

describe("verification, with maxStaleness of 30 seconds", () => {
  it.effect("G4: verification finds a lost notification within a third of maxStaleness", () =>
    onPlane(function* ({ acme }) {
      yield* live
      acme.write(limitKey, 1)
      yield* TestClock.adjust("7 seconds")
      assert.deepInclude(yield* limit, { value: 600 })
      yield* TestClock.adjust("3 seconds")
      assert.deepInclude(yield* limit, { value: 1, stale: false })
    })
  )

  it.effect("G4: verification finds a table that was emptied", () =>
    onPlane(function* ({ acme }) {
      acme.write(limitKey, 1)
      yield* live
      acme.erase(limitKey)
      yield* TestClock.adjust("10 seconds")
      assert.deepInclude(yield* limit, { value: 600, revision: 0 })
    })
  )

  it.effect("G4: verification replaces a session that does not answer", () =>
    onPlane({ random: 0.5 }, function* ({ acme }) {
      yield* live
      acme.answering = "never"
      yield* TestClock.adjust("10 seconds")
      acme.answering = "yes"
      acme.write(limitKey, 1)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(acme.attempts.length, 2)
      assert.strictEqual(acme.open, 1)
      assert.deepInclude(yield* limit, { value: 1, stale: false })
    })
  )

  it.effect("G4: past maxStaleness reads go to the database, and their failure carries what was known", () =>
    onPlane({ staleAfterFailures: 1_000, random: 0.5 }, function* ({ acme }) {
      acme.write(limitKey, 1)
      yield* live
      acme.opening = "fail"
      acme.lose()
      acme.write(limitKey, 2)
      yield* TestClock.adjust("29 seconds")
      assert.deepInclude(yield* limit, { value: 1, stale: true })
      yield* TestClock.adjust("1 second")
      assert.deepInclude(yield* limit, { value: 2, stale: false })
      acme.clients = "no"
      const { reason } = yield* Effect.flip(limit)
      assert.strictEqual(reason._tag, "Unavailable")
      if (reason._tag === "Unavailable") assert.deepInclude(reason.lastKnown, { value: 2, stale: true })
      assert.strictEqual(yield* Config.getOrDefault(Limit).pipe(withTenant("acme")), 2)
    })
  )
})
