import { assert, layer } from "@effect/vitest"
import { DateTime, Effect, Fiber, Stream } from "effect"
import { ChangeHistory, type ChangeRecord, Config, ConfigKey, type HistoryEvent } from "effect-systemplane"
import { ApiKey, Burst, Feature, Greeting, Limit } from "../support/keys.ts"
import { until } from "../support/Observe.ts"
import { eventually } from "../support/TestDatabase.ts"
import { Acme } from "./Acme.ts"
import { type Implementation, onPlane } from "./Implementation.ts"

const ada = { actor: "ada" }

const recordsOf = (key: ConfigKey<any>) =>
  Effect.map(ChangeHistory.ofKey(key), ({ records }) => records.filter((record) => record.reason !== "baseline"))

const newest = (key: ConfigKey<any>) => Effect.map(recordsOf(key), ([record]) => record!)

/** Why it fails, as a plain record to be compared with. */
const reasonOf = <A, R>(effect: Effect.Effect<A, { readonly reason: object }, R>) =>
  Effect.map(Effect.flip(effect), ({ reason }) => reason as Readonly<Record<string, any>>)

const said = ({ changedBy, operation, previousValue, value }: ChangeRecord) => ({
  changedBy,
  operation,
  previousValue,
  value
})

export const changeHistoryContract = <Database>({ database, name, plane }: Implementation<Database>) =>
  layer(database, { excludeTestServices: true, timeout: "30 seconds" })(`ChangeHistory: ${name}`, (it) => {
    const test = onPlane<Database, void>(it.effect, plane)

    test(
      "G16: each change of a key is on record once, newest first: who, before and after, for every writer",
      Effect.gen(function* () {
        const first = yield* Config.set(Limit, 1, ada)
        const second = yield* Acme.use((db) => db.write(Limit, 2))
        yield* eventually(
          "the write of the stranger is seen",
          Effect.map(Config.get(Limit), (limit) => limit === 2)
        )
        yield* Config.remove(Limit, ada)
        yield* Acme.use((db) => db.write(Limit, 3))
        yield* Acme.use((db) => db.erase(Limit))
        const records = (yield* recordsOf(Limit)).slice(0, 5)
        assert.deepStrictEqual(
          records.map(({ operation, previousValue, value }) => [operation, previousValue, value]),
          [
            ["delete", 3, undefined],
            ["create", undefined, 3],
            ["delete", 2, undefined],
            ["update", 1, 2],
            ["create", undefined, 1]
          ]
        )
        assert.deepStrictEqual(
          records.slice(2).map(({ changedBy }) => changedBy),
          ["ada", "stranger", "ada"]
        )
        assert.deepStrictEqual(
          records.slice(2).map(({ previousRevision, revision }) => [previousRevision, revision]),
          [
            [second, second],
            [first.revision, second],
            [undefined, first.revision]
          ]
        )
        assert.strictEqual(new Set(records.map(({ changeId }) => changeId)).size, 5)
        const page = yield* ChangeHistory.ofKey(Limit, { limit: 2 })
        assert.deepStrictEqual(page.records, records.slice(0, 2))
        const next = yield* ChangeHistory.ofKey(Limit, { limit: 2, before: page.next })
        assert.deepStrictEqual(next.records, records.slice(2, 4))
      })
    )

    test(
      "G16: what one transaction did is one change, with all its records; TRUNCATE is a change of every row",
      Effect.gen(function* () {
        const db = yield* Acme
        yield* Config.set(Greeting, "before", ada)
        yield* db.transact([{ key: Limit, value: 5 }, { key: Burst, value: 6 }, { key: Greeting }])
        const { changeId } = yield* newest(Limit)
        const change = yield* ChangeHistory.get(changeId!)
        assert.deepStrictEqual(
          change.records.map(({ key, operation, value }) => [key, operation, value]),
          [
            [Limit.key, "create", 5],
            [Burst.key, "create", 6],
            [Greeting.key, "delete", undefined]
          ]
        )
        yield* db.truncate
        const truncated = yield* ChangeHistory.get((yield* newest(Limit)).changeId!)
        const names = truncated.records.map(({ key, operation }) => `${operation} ${key}`)
        assert.includeMembers(names, [`delete ${Limit.key}`, `delete ${Burst.key}`])
        assert.notStrictEqual(truncated.changeId, changeId)
      }),
      { seedDefaults: false }
    )

    test(
      "an untouched seed is no change; a write of the seeded value is one",
      Effect.gen(function* () {
        const before = (yield* recordsOf(Burst)).length
        yield* Config.set(Burst, Burst.defaultValue, ada)
        const records = yield* recordsOf(Burst)
        assert.strictEqual(records.length, before + 1)
        assert.deepInclude(said(records[0]!), { changedBy: "ada", operation: "create", value: 20 })
      })
    )

    test(
      "G16: a seed that is deleted by hand is on record, and a removal under a given id that found nothing",
      Effect.gen(function* () {
        yield* Acme.use((db) => db.erase(Greeting))
        const bySql = yield* newest(Greeting)
        const changeId = crypto.randomUUID()
        yield* Config.remove(Greeting, { ...ada, changeId })
        const [fenced] = (yield* ChangeHistory.get(changeId)).records
        for (const record of [bySql, fenced!]) {
          assert.deepStrictEqual(
            [record.operation, record.previousValue, record.value],
            ["delete", undefined, undefined]
          )
        }
        assert.strictEqual((yield* newest(Greeting)).changeId, changeId)
      })
    )

    test(
      "changes are listed newest first, page by page, and by key, actor and time",
      Effect.gen(function* () {
        for (const value of [1, 2, 3]) yield* Config.set(Limit, value, { actor: `writer ${value}` })
        yield* Config.setAll([ConfigKey.value(Limit, 4), ConfigKey.value(Burst, 4)], { actor: "writer 4" })
        const page = yield* ChangeHistory.list({ limit: 3 })
        assert.deepStrictEqual(
          page.changes.map(({ changedBy, records }) => [changedBy, records.length]),
          [
            ["writer 4", 2],
            ["writer 3", 1],
            ["writer 2", 1]
          ]
        )
        const next = yield* ChangeHistory.list({ limit: 1, before: page.next })
        assert.strictEqual(next.changes[0]?.changedBy, "writer 1")

        const listed = (query: Parameters<typeof ChangeHistory.list>[0]) =>
          Effect.map(ChangeHistory.list(query), ({ changes }) => changes.map(({ changedBy }) => changedBy))
        assert.deepStrictEqual(yield* listed({ namespace: Burst.namespace, key: Burst.key, limit: 1 }), ["writer 4"])
        assert.deepStrictEqual(yield* listed({ actor: "writer 2", limit: 1 }), ["writer 2"])
        assert.deepStrictEqual(yield* listed({ tenant: "acme", actor: "nobody" }), [])
        const { changedAt } = page.changes[0]!
        assert.strictEqual((yield* listed({ from: changedAt }))[0], "writer 4")
        assert.notInclude(yield* listed({ to: page.changes[1]!.changedAt, limit: 3 }), "writer 3")
        assert.deepStrictEqual(yield* listed({ from: DateTime.add(changedAt, { hours: 1 }) }), [])
        assert.deepInclude(yield* reasonOf(ChangeHistory.list({ limit: 0 })), { _tag: "InvalidQuery" })
        assert.deepInclude(yield* reasonOf(ChangeHistory.list({ tenant: "?" })), { _tag: "InvalidTenantId" })
        assert.deepInclude(yield* reasonOf(ChangeHistory.get("42")), { _tag: "UnknownChange" })
      })
    )

    test(
      "the entries are known as they were at a moment",
      Effect.gen(function* () {
        yield* Config.set(Limit, 1, ada)
        yield* Config.set(Burst, 1, ada)
        const { changedAt } = yield* newest(Burst)
        yield* Effect.sleep("2 millis")
        yield* Config.set(Limit, 2, ada)
        yield* Config.remove(Burst, ada)
        const valuesAt = (moment: DateTime.DateTime.Input) =>
          Effect.map(ChangeHistory.at(moment), (entries) =>
            Object.fromEntries(entries.map(({ key, value }) => [key, value]))
          )
        assert.deepInclude(yield* valuesAt(changedAt), { [Limit.key]: 1, [Burst.key]: 1 })
        const now = yield* valuesAt((yield* newest(Burst)).changedAt)
        assert.strictEqual(now[Limit.key], 2)
        assert.notProperty(now, Burst.key)
        assert.deepStrictEqual(yield* valuesAt(0), {})
      })
    )

    test(
      "a rollback puts an earlier value in force again as a new change, guarded, and visible when it returns",
      Effect.gen(function* () {
        const first = yield* Config.set(Feature, { enabled: true, percent: 10 }, ada)
        const second = yield* Config.set(Feature, { enabled: true, percent: 90 }, ada)
        const refused = yield* reasonOf(
          ChangeHistory.rollback(Feature, { to: first.revision, actor: "bob", ifRevision: first.revision })
        )
        assert.strictEqual(refused._tag, "ChangedSince")
        assert.deepInclude(refused.conflicts[0], {
          key: Feature.key,
          expected: first.revision,
          actual: second.revision,
          changedBy: "ada",
          diff: [{ pointer: "/percent", before: 10, after: 90 }]
        })
        const entry = yield* ChangeHistory.rollback(Feature, {
          to: first.revision,
          actor: "bob",
          ifRevision: second.revision
        })
        assert.deepInclude(entry, { value: { enabled: true, percent: 10 }, updatedBy: "bob", key: Feature.key })
        assert.isAbove(entry.revision, second.revision)
        assert.deepStrictEqual(yield* Config.get(Feature), { enabled: true, percent: 10 })
        assert.deepInclude(yield* newest(Feature), { changedBy: "bob", revision: entry.revision })
        yield* ChangeHistory.rollback(Feature, { to: 0, actor: "bob" })
        assert.deepInclude(yield* Config.entry(Feature), { revision: 0, source: "default" })
      })
    )

    test(
      "a rollback fails and writes nothing: an unknown revision, a value that is no longer valid, a secret, an unknown key",
      Effect.gen(function* () {
        const invalid = yield* Acme.use((db) => db.write(Limit, -1))
        const limit = yield* Config.set(Limit, 2, ada)
        const secret = yield* Config.set(ApiKey, "first-secret", ada)
        yield* Config.set(ApiKey, "second-secret", ada)
        const rollback = (key: ConfigKey<any>, to: number) =>
          reasonOf(ChangeHistory.rollback(key, { to, actor: "bob" }))
        assert.deepInclude(yield* rollback(Limit, 999_999_999), { _tag: "UnknownRevision", revision: 999_999_999 })
        const refused = yield* rollback(Limit, invalid)
        assert.strictEqual(refused._tag, "NoLongerValid")
        assert.deepInclude(refused.problems[0], { key: Limit.key, revision: invalid })
        assert.deepInclude(yield* rollback(ApiKey, secret.revision), { _tag: "ValueNotKept" })
        const undeclared = ConfigKey.make("nowhere", "nothing", Limit as any)
        assert.deepInclude(yield* rollback(undeclared as any, 1), { _tag: "UnknownKey" })
        assert.strictEqual((yield* Config.entry(Limit)).revision, limit.revision)
        assert.strictEqual(yield* Config.get(ApiKey), "second-secret")
      })
    )

    test(
      "a revert takes a whole change back, or nothing of it if a key was changed since",
      Effect.gen(function* () {
        yield* Config.setAll([ConfigKey.value(Limit, 1), ConfigKey.value(Burst, 1)], ada)
        yield* Config.setAll([ConfigKey.value(Limit, 2), ConfigKey.value(Burst, 2)], ada)
        const { changeId } = yield* newest(Limit)
        const once = { actor: "bob", changeId: crypto.randomUUID() }
        const reverted = yield* ChangeHistory.revert(changeId!, once)
        const repeated = yield* ChangeHistory.revert(changeId!, { ...once, changeId: once.changeId.toUpperCase() })
        assert.deepStrictEqual(
          repeated.map(({ key, revision }) => [key, revision]),
          reverted.map(({ key, revision }) => [key, revision]),
          "a change takes effect once, as when its answer was lost and it is sent again"
        )
        assert.sameDeepMembers(
          reverted.map(({ key, value }) => [key, value]),
          [
            [Limit.key, 1],
            [Burst.key, 1]
          ]
        )
        assert.deepStrictEqual([yield* Config.get(Limit), yield* Config.get(Burst)], [1, 1])
        const again = yield* newest(Limit)
        yield* Config.set(Burst, 7, { actor: "carol" })
        const refused = yield* reasonOf(ChangeHistory.revert(again.changeId!, { actor: "bob" }))
        assert.strictEqual(refused._tag, "ChangedSince")
        assert.deepStrictEqual(
          refused.conflicts.map(({ changedBy, diff, key }: any) => [key, changedBy, diff]),
          [[Burst.key, "carol", [{ pointer: "", before: 1, after: 7 }]]]
        )
        assert.deepStrictEqual([yield* Config.get(Limit), yield* Config.get(Burst)], [1, 7])
      })
    )

    test(
      "G16: a change bears the id and the reason that its writer gave; a rollback and a revert say what they take back",
      Effect.gen(function* () {
        const first = yield* Config.set(Limit, 1, { ...ada, reason: "Black Friday", changeId: crypto.randomUUID() })
        yield* Config.set(Limit, 2, { ...ada, reason: "over", changeId: crypto.randomUUID() })
        yield* ChangeHistory.rollback(Limit, { to: first.revision, actor: "bob" })
        const [rolledBack, , black] = yield* recordsOf(Limit)
        assert.strictEqual(black?.reason, "Black Friday")
        assert.strictEqual(rolledBack?.reason, `rollback to revision ${first.revision}`)
        yield* ChangeHistory.revert(rolledBack.changeId!, { actor: "bob", reason: "a mistake" })
        assert.deepInclude(yield* newest(Limit), { changedBy: "bob", reason: "a mistake", value: 2 })
      })
    )

    test(
      "a revert of a change that set one key and removed another does both at once, and can be reverted itself",
      Effect.gen(function* () {
        const db = yield* Acme
        yield* Config.set(Burst, 1, ada)
        yield* Config.remove(Limit, ada)
        yield* db.transact([{ key: Limit, value: 5 }, { key: Burst }])
        const { changeId } = yield* newest(Limit)
        yield* ChangeHistory.revert(changeId!, { actor: "bob" })
        assert.deepInclude(yield* Config.entry(Limit), { revision: 0, source: "default" })
        assert.deepInclude(yield* Config.entry(Burst), { value: 1, updatedBy: "bob" })
        const undone = yield* newest(Limit)
        assert.deepInclude(undone, { operation: "delete", changedBy: "bob" })
        assert.strictEqual((yield* newest(Burst)).changeId, undone.changeId)
        yield* ChangeHistory.revert(undone.changeId!, { actor: "carol" })
        assert.deepInclude(yield* Config.entry(Limit), { value: 5, updatedBy: "carol" })
        assert.deepInclude(yield* Config.entry(Burst), { revision: 0, source: "default" })
      })
    )

    test(
      "since: without a cursor it says where the history is; from there it emits every change once, in whole",
      Effect.gen(function* () {
        const start = yield* Stream.runHead(ChangeHistory.since())
        const cursor = start._tag === "Some" && start.value._tag === "Reset" ? start.value.cursor : assert.fail("Reset")
        yield* Config.set(Limit, 1, ada)
        yield* Acme.use((db) =>
          db.transact([
            { key: Limit, value: 2 },
            { key: Burst, value: 2 }
          ])
        )
        const emitted: Array<HistoryEvent> = []
        const reader = yield* Effect.forkChild(
          Stream.runForEach(ChangeHistory.since(cursor), (event) => Effect.sync(() => emitted.push(event)))
        )
        yield* until("both changes are emitted", () => emitted.length === 2)
        yield* Config.set(Limit, 3, ada)
        yield* until("the later change is emitted", () => emitted.length === 3)
        yield* Fiber.interrupt(reader)
        assert.deepStrictEqual(
          emitted.map((event) =>
            event._tag === "Change" ? event.change.records.map(({ value }) => value) : event._tag
          ),
          [[1], [2, 2], [3]]
        )
        const rest = yield* Stream.runHead(ChangeHistory.since("no cursor of ours"))
        assert.strictEqual(rest._tag === "Some" && rest.value._tag, "Reset")
      })
    )

    test(
      "G16: what was written with the triggers disabled is found by verify and recorded as unrecorded, once",
      Effect.gen(function* () {
        const db = yield* Acme
        yield* Config.set(Limit, 1, ada)
        yield* Config.set(Burst, 1, ada)
        assert.strictEqual(yield* ChangeHistory.verify, 0)
        yield* db.withoutTriggers([{ key: Limit, value: 2 }, { key: Burst }])
        assert.strictEqual(yield* ChangeHistory.verify, 2)
        assert.deepInclude(said(yield* newest(Limit)), {
          changedBy: "unrecorded",
          operation: "update",
          previousValue: 1,
          value: 2
        })
        assert.deepInclude(yield* newest(Burst), { changedBy: "unrecorded", operation: "delete" })
        assert.strictEqual(yield* ChangeHistory.verify, 0)
      })
    )

    test(
      "a purge keeps what is younger than a day, and refuses a retention that keeps nothing in words",
      Effect.gen(function* () {
        yield* Config.set(Limit, 1, ada)
        yield* Config.set(Limit, 2, ada)
        const before = (yield* recordsOf(Limit)).length
        yield* ChangeHistory.purge({ keepDays: 0, keepPerKey: 0 })
        yield* ChangeHistory.purge({ keepDays: Number.MAX_SAFE_INTEGER, keepPerKey: Number.MAX_SAFE_INTEGER })
        assert.strictEqual((yield* recordsOf(Limit)).length, before)
        assert.deepInclude(yield* reasonOf(ChangeHistory.purge({})), { _tag: "InvalidQuery" })
      })
    )

    test(
      "what no compiler checked, or cannot be read, is refused with a typed error, and no moment is too early",
      Effect.gen(function* () {
        const unreadable: any = new Proxy({}, { get: () => assert.fail("a getter") })
        const odd: ReadonlyArray<any> = [unreadable, Symbol("odd"), 5n, Number.NaN]
        const id = crypto.randomUUID()
        for (const given of [null, ...odd]) {
          const calls: ReadonlyArray<Effect.Effect<unknown, { readonly reason: object }, ChangeHistory>> = [
            ChangeHistory.list({ from: given }),
            ChangeHistory.list({ actor: given }),
            ChangeHistory.ofKey(given),
            ChangeHistory.ofKey({ namespace: "limits", key: given }),
            ChangeHistory.ofKey(Limit, { limit: given }),
            ChangeHistory.get(given),
            ChangeHistory.at(given),
            ChangeHistory.rollback(given, { to: 0, ...ada }),
            ChangeHistory.rollback(Limit, given),
            ChangeHistory.rollback(Limit, { to: given, ...ada }),
            ChangeHistory.rollback(Limit, { to: 0, actor: given }),
            ChangeHistory.rollback(Limit, { to: 0, ifRevision: given, ...ada }),
            ChangeHistory.revert(given, ada),
            ChangeHistory.revert(id, given),
            ChangeHistory.revert(id, { changeId: given, ...ada }),
            ChangeHistory.purge(given)
          ]
          for (const call of calls) yield* reasonOf(call)
        }
        assert.deepInclude(yield* reasonOf(ChangeHistory.list(unreadable)), { _tag: "InvalidQuery" })
        assert.deepInclude(yield* reasonOf(ChangeHistory.list({ namespace: "a\0" })), { _tag: "InvalidQuery" })
        assert.deepInclude(yield* reasonOf(Config.setAll(unreadable, ada)), { _tag: "InvalidChange" })
        assert.deepStrictEqual(yield* ChangeHistory.at(-8.64e15), [])
        assert.deepInclude(yield* ChangeHistory.list({ to: -8.64e15 }), { changes: [] })
      })
    )
  })
