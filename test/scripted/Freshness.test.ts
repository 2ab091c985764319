import { assert, describe, it } from "@effect/vitest"
import { Clock, DateTime, Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Config, notInMemory, TenantCache, TenantId, TenantManager, withTenant } from "effect-systemplane"
import { Burst, Limit } from "../support/keys.ts"
import { collect } from "../support/Observe.ts"
import { type ScriptedTenant, upsert } from "../support/ScriptedConnector.ts"
import { activate, breathe, limitKey, onPlane, statusOf } from "./ScriptedPlane.ts"
import { withShakyClock } from "./ShakyClock.ts"

const seconds = (time: DateTime.Utc | undefined) =>
  time === undefined ? undefined : DateTime.toEpochMillis(time) / 1000

const limit = Config.entry(Limit).pipe(withTenant("acme"))
const live = activate()
const status = statusOf()

describe("a black hole, with maxStaleness of 30 seconds", () => {
  const noticed = (what: string, play: (acme: ScriptedTenant) => Effect.Effect<void>) =>
    it.effect(what, () =>
      onPlane({ random: 0.99 }, function* ({ acme }) {
        yield* live
        const confirmed = seconds((yield* status).confirmedAt)!
        yield* play(acme)
        assert.isAbove(acme.attempts.length, 1, "the session was given up")
        assert.isBelow(seconds(yield* DateTime.now)! - confirmed, 30)
        acme.answering = "yes"
        acme.write(limitKey, 7)
        yield* TestClock.adjust("12 seconds")
        assert.deepInclude(yield* limit, { value: 7, stale: false })
      })
    )

  noticed("G4: a black hole that begins right after a confirmation is noticed within maxStaleness", (acme) =>
    Effect.suspend(() => {
      acme.answering = "never"
      return TestClock.adjust("16 seconds")
    })
  )

  noticed("G4: a black hole that begins during a read is noticed within maxStaleness", (acme) =>
    Effect.gen(function* () {
      acme.gate.closeUnsafe()
      acme.notify(upsert(Limit.namespace, Limit.key))
      yield* breathe
      yield* TestClock.adjust("6 seconds")
      acme.gate.openUnsafe()
    })
  )

  noticed(
    "G4: a black hole is noticed within maxStaleness though notifications of undeclared keys go on arriving",
    (acme) =>
      Effect.gen(function* () {
        acme.answering = "never"
        for (let i = 0; i < 160; i++) {
          acme.notify(upsert("elsewhere", `key-${i}`))
          yield* TestClock.adjust("100 millis")
        }
      })
  )

  noticed("G4: a new session whose first read is never answered is noticed within maxStaleness", (acme) =>
    Effect.suspend(() => {
      acme.answering = "never"
      acme.lose()
      return TestClock.adjust("6 seconds")
    })
  )
})

describe("a session that answers slowly but surely", () => {
  it.effect("G13: a slow session is given more and more time for its first read, and is not replaced for ever", () =>
    onPlane({ maxStaleness: "3 seconds", random: 0.5 }, function* ({ acme }) {
      acme.answersAfter = 1100
      yield* Effect.forkScoped(Effect.exit(live), { startImmediately: true })
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* status).state, "live")
      const { length } = acme.attempts
      assert.strictEqual(length, 2)
      // The bound of three seconds holds: the next answer is there before the last one is too old.
      for (let i = 0; i < 300; i++) {
        yield* TestClock.adjust("100 millis")
        assert.deepInclude(yield* limit, { stale: false })
      }
      assert.deepStrictEqual([acme.attempts.length, acme.statements], [length, 0])
    })
  )

  it.effect("G13: a first read is waited for as long as its rows keep arriving, and abandoned once they stop", () =>
    onPlane({ maxStaleness: "3 seconds", random: 0.5 }, function* ({ acme }) {
      for (let i = 0; i < 50; i++) acme.write(`${Limit.namespace}/undeclared-${i}`, i)
      acme.write(limitKey, 7)
      acme.rowsAfter = 900
      yield* Effect.forkScoped(Effect.exit(live), { startImmediately: true })
      yield* TestClock.adjust("44 seconds")
      assert.strictEqual((yield* status).state, "activating")
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* status).state, "live")
      assert.deepInclude(yield* limit, { value: 7, stale: false })
      assert.lengthOf(acme.attempts, 1)
      acme.lose()
      acme.rowsAfter = 120_000
      yield* TestClock.adjust("4 minutes")
      assert.isAbove(acme.attempts.length, 2)
      assert.match((yield* status).lastError!.message, /did not answer within 1m \(ETIMEDOUT\)/)
    })
  )

  it.effect("G4: a tenant is never live if answers are older than maxStaleness when they arrive", () =>
    onPlane({ maxStaleness: "1 second", random: 0.5 }, function* ({ acme }) {
      acme.answersAfter = 2000
      acme.write(limitKey, 7)
      const changes = yield* collect(
        Stream.unwrap(TenantManager.use((manager) => Effect.succeed(manager.statusChanges)))
      )
      yield* Effect.forkScoped(Effect.exit(live), { startImmediately: true })
      yield* TestClock.adjust("1 minute")
      const { length } = acme.attempts
      assert.deepStrictEqual(
        changes.map(({ state }) => state),
        ["activating", "stale"]
      )
      assert.strictEqual((yield* status).state, "stale")
      assert.deepInclude(yield* limit, { value: 7, stale: false })
      assert.strictEqual(acme.statements, 1)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(acme.attempts.length, length, "and its session is kept all the same")
    })
  )
})

describe("the clock", () => {
  it.effect("G4: clocks that both go back put off no verification, and hide no staleness", () =>
    withShakyClock((clock) =>
      onPlane({ staleAfterFailures: 1000, random: 0.5 }, function* ({ acme }) {
        yield* TestClock.adjust("1 hour")
        yield* live
        const before = acme.reads
        clock.back(3_000_000)
        yield* TestClock.adjust("30 seconds")
        assert.isAbove(acme.reads, before)
        acme.opening = "fail"
        acme.lose()
        clock.back(500_000)
        yield* TestClock.adjust("31 seconds")
        assert.strictEqual((yield* status).state, "stale")
      })
    )
  )

  it.effect(
    "G4: a wall clock that steps forward costs one verification, and one that steps back hides no staleness",
    () =>
      withShakyClock((clock) =>
        onPlane({ staleAfterFailures: 1000, random: 0.5 }, function* ({ acme }) {
          yield* TestClock.adjust("1 hour")
          yield* live
          assert.strictEqual(seconds((yield* limit).confirmedAt), 3600)
          const before = acme.reads
          clock.step(86_400_000)
          yield* TestClock.adjust("1 second")
          assert.strictEqual((yield* status).state, "live")
          assert.strictEqual(acme.reads, before + 1)
          assert.strictEqual(acme.attempts.length, 1, "the session is kept")
          assert.deepInclude(yield* limit, { stale: false })
          assert.strictEqual(acme.statements, 0)

          acme.opening = "fail"
          acme.lose()
          clock.step(-86_400_000)
          yield* TestClock.adjust("29 seconds")
          assert.deepInclude(yield* limit, { stale: true })
          assert.deepStrictEqual([(yield* status).state, acme.statements], ["disconnected", 0])
          yield* TestClock.adjust("1 second")
          assert.strictEqual((yield* status).state, "stale")
          yield* limit
          assert.strictEqual(acme.statements, 1)
        })
      )
  )

  it.effect("G4: a machine that slept counts the time it slept, although its monotonic clock stood still", () =>
    withShakyClock((clock) =>
      onPlane(function* ({ acme }) {
        acme.write(limitKey, 1)
        yield* live
        const handle = yield* Config.handle(Limit).pipe(withTenant("acme"))
        yield* clock.sleep(20_000)
        assert.deepInclude(yield* limit, { value: 1, stale: false })
        acme.write(limitKey, 2)
        yield* clock.sleep(10_000)
        assert.isTrue(handle.entry.stale)
        assert.strictEqual(yield* Config.get(Limit).pipe(withTenant("acme")), 2)
        assert.isAbove(acme.statements, 0)
      })
    )
  )

  for (const [name, seconds] of [
    ["of a clock that is an hour ahead", 3600],
    ["that was written by hand, of the year 9999,", Date.UTC(9999, 0, 1) / 1000]
  ] as const) {
    it.effect(`G4: a stamp ${name} neither moves confirmedAt nor hides that a value is stale`, () =>
      onPlane(function* ({ acme }) {
        yield* TestClock.adjust("1 minute")
        acme.write(limitKey, 1, seconds)
        yield* live
        const asked = yield* Config.entry(Limit).pipe(withTenant("acme"))
        assert.strictEqual(DateTime.toEpochMillis(asked.updatedAt!), seconds * 1000)
        const confirmed = DateTime.toEpochMillis(asked.confirmedAt!)
        assert.isAtMost(confirmed, yield* Clock.currentTimeMillis)
        acme.opening = "fail"
        acme.clients = "no"
        acme.lose()
        yield* TestClock.adjust("40 seconds")
        const reading = yield* Effect.forkScoped(Effect.flip(Config.entry(Limit)).pipe(withTenant("acme")), {
          startImmediately: true
        })
        yield* TestClock.adjust("10 seconds")
        const { reason } = yield* Fiber.join(reading)
        assert.strictEqual(reason._tag, "Unavailable")
        if (reason._tag !== "Unavailable") return
        assert.deepInclude(reason.lastKnown, { value: 1, stale: true })
        assert.isAtMost(DateTime.toEpochMillis(reason.lastKnown!.confirmedAt!), confirmed + 30_000)
      })
    )
  }

  it.effect("G4: reads of one turn of the event loop that take seconds notice that the bound is past", () =>
    withShakyClock((clock) =>
      onPlane({ maxStaleness: "1 second" }, function* ({ acme }) {
        acme.write(limitKey, 1)
        yield* live
        const cache = yield* TenantCache
        const view = cache.view(TenantId.make("acme"))!
        const answers: Array<unknown> = []
        // A synchronous loop: nothing else runs meanwhile, no immediate and no timer.
        for (let i = 0; i < 300; i++) {
          clock.work(10)
          answers.push(view.peek(Limit))
        }
        assert.strictEqual(answers[0], 1)
        assert.isTrue(answers.slice(100).every((answer) => answer === notInMemory))
        assert.strictEqual(acme.statements, 0)
      })
    )
  )

  it.effect(
    "G4: a process that was paused answers nothing from memory on its first read, before any timer has fired",
    () =>
      withShakyClock((clock) =>
        onPlane(function* ({ acme }) {
          acme.write(limitKey, 1)
          yield* live
          const handle = yield* Config.handle(Limit).pipe(withTenant("acme"))
          yield* clock.pause(29_999)
          assert.deepInclude(yield* limit, { value: 1, stale: false })
          assert.isFalse(handle.entry.stale)
          acme.write(limitKey, 2)
          yield* clock.pause(1)
          assert.isTrue(handle.entry.stale)
          assert.strictEqual((yield* status).state, "live", "no timer has fired")
          assert.strictEqual(yield* Config.get(Limit).pipe(withTenant("acme")), 2)
          assert.strictEqual((yield* Config.snapshot.pipe(withTenant("acme"))).get(Limit), 2)
          assert.strictEqual(acme.statements, 2)
        })
      )
  )
})

describe("confirmedAt and stale of entries and statuses", () => {
  it.effect(
    "G4: confirmedAt and stale are right through an outage, in entries, lists, snapshots, watchers and own writes",
    () =>
      onPlane({ random: 0.5 }, function* ({ acme }) {
        yield* TestClock.adjust("100 seconds")
        yield* live
        const watched = yield* collect(Config.watch(Limit)).pipe(withTenant("acme"))
        yield* breathe
        const told = Effect.gen(function* () {
          const entry = yield* limit
          const [listed] = (yield* Config.list(Limit.namespace).pipe(withTenant("acme"))).filter(
            ({ key }) => key === Limit.key
          )
          const held = (yield* Config.snapshot.pipe(withTenant("acme"))).entry(Limit)
          const all = [entry, listed!, held].map(({ confirmedAt, stale, value }) => [
            value,
            stale,
            seconds(confirmedAt)
          ])
          assert.deepStrictEqual(all[1], all[0])
          assert.deepStrictEqual(all[2], all[0])
          return all[0]
        })
        assert.deepStrictEqual(yield* told, [600, false, 100])

        // A write of our own confirms its key, and no other.
        yield* TestClock.adjust("1 second")
        yield* Config.set(Limit, 7, { actor: "test" }).pipe(withTenant("acme"))
        assert.deepStrictEqual(yield* told, [7, false, 101])
        assert.strictEqual(seconds((yield* Config.entry(Burst).pipe(withTenant("acme"))).confirmedAt), 100)

        acme.opening = "fail"
        acme.lose()
        yield* breathe
        assert.deepStrictEqual(yield* told, [7, true, 101])
        // Three failed attempts later: read through, and confirmed by that.
        yield* TestClock.adjust("9 seconds")
        assert.deepStrictEqual(yield* told, [7, false, 110])
        // Read through once more while the feed is down, then served from memory again.
        acme.write(limitKey, 8)
        assert.deepStrictEqual(yield* told, [8, false, 110])
        acme.opening = "succeed"
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual((yield* status).state, "live")
        const { statements } = acme
        assert.deepInclude(yield* limit, { value: 8, stale: false })
        assert.strictEqual(acme.statements, statements)
        assert.deepStrictEqual(
          watched.map(({ stale, value }) => [value, stale]),
          [
            [600, false],
            [7, false],
            [8, true]
          ]
        )
      })
  )

  it.effect("G4: a status shows the last confirmation as of now, not as of the last change of state", () =>
    onPlane({ random: 0.5 }, function* ({ acme }) {
      yield* live
      yield* TestClock.adjust("5 minutes")
      const { confirmedAt, since, state } = yield* status
      assert.deepStrictEqual([state, seconds(since)], ["live", 0])
      assert.isAtLeast(seconds(confirmedAt)!, 290)
      const [listed] = yield* TenantManager.use((manager) => manager.statuses)
      assert.deepStrictEqual(listed?.confirmedAt, confirmedAt)
      acme.opening = "fail"
      acme.lose()
      yield* TestClock.adjust("2 seconds")
      const failing = yield* status
      assert.strictEqual(failing.state, "stale")
      assert.strictEqual(failing.failures, acme.attempts.length - 1)
      assert.strictEqual(failing.lastError?.reason._tag, "ConnectFailed")
      assert.deepStrictEqual(failing.confirmedAt, confirmedAt)
    })
  )

  it.effect("G4: a tenant that was never confirmed as a whole shows no time, though one of its keys was read", () =>
    onPlane(function* ({ acme }) {
      acme.opening = "fail"
      yield* Effect.forkScoped(Effect.exit(live), { startImmediately: true })
      yield* breathe
      assert.strictEqual(seconds((yield* limit).confirmedAt), 0)
      const { confirmedAt, state } = yield* status
      assert.deepStrictEqual([state, confirmedAt], ["activating", undefined])
      const { tenants } = yield* TenantManager.use((manager) => manager.health)
      assert.strictEqual(tenants[0]?.confirmedAt, undefined)
      acme.opening = "succeed"
      yield* live
      assert.strictEqual(seconds((yield* status).confirmedAt), 0)
    })
  )

  it.effect("the first failure of an activation is logged, and those after it are not", () =>
    onPlane(function* ({ acme, lines }) {
      acme.opening = "fail"
      yield* Effect.forkScoped(Effect.exit(live), { startImmediately: true })
      yield* TestClock.adjust("10 minutes")
      acme.opening = "succeed"
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(lines, [
        "Tenant is activating",
        "Tenant is activating, and the first attempt failed; it is tried again",
        "Tenant is live"
      ])
    })
  )
})
