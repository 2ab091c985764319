import { assert, layer } from "@effect/vitest"
import { Effect, Fiber, Option } from "effect"
import { EntryStore, type KeyName, SchemaBootstrap } from "effect-systemplane"
import * as Witness from "../postgres/Witness.ts"
import { changeOf, put, putAll, remove, write } from "../support/StoreWrites.ts"
import { a, b, c, diff, keys, know, nothing, valuesOf } from "../support/TestEntries.ts"
import { Acme, acme } from "./Acme.ts"
import type { Implementation } from "./Implementation.ts"

const read = (key: KeyName) => EntryStore.use((store) => store.read(acme, key))
const seed = (seeds: ReadonlyArray<readonly [KeyName, string]>) =>
  SchemaBootstrap.use((bootstrap) =>
    bootstrap.seed(
      acme,
      seeds.map(([key, json]) => ({ ...key, json }))
    )
  )

const reasonOf = <A, E extends { readonly reason: object }, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(effect), ({ reason }) => reason as Readonly<Record<string, unknown>>)

export const entryStoreContract = <Database>({ database, name, services }: Implementation<Database>) =>
  layer(database, { excludeTestServices: true, timeout: "30 seconds" })(`EntryStore: ${name}`, (it) => {
    const test = (title: string, effect: Effect.Effect<unknown, unknown, EntryStore | SchemaBootstrap | Acme>) =>
      it.effect(title, () => Effect.provide(effect, services))

    test(
      "put and read return the row as it is stored",
      Effect.gen(function* () {
        const written = yield* put(a, `{ "enabled": true, "note": "naïve 🐟 \\u0001" }`, {
          actor: "operator@example.com"
        })
        assert.deepStrictEqual(written.value, { enabled: true, note: "naïve 🐟 \u0001" })
        assert.strictEqual(written.updatedBy, "operator@example.com")
        assert.deepStrictEqual(yield* read(a), Option.some(written))
        assert.deepStrictEqual(yield* read(b), Option.none())
        const { fingerprint: _, ...stored } = written
        assert.deepStrictEqual(
          (yield* Acme.use((db) => db.rows)).map(({ fingerprint: _, ...row }: any) => row),
          [{ ...a, ...stored }]
        )
      })
    )

    test(
      "a revision is drawn for another value only; an identical one is still another row, by who wrote it",
      Effect.gen(function* () {
        const first = yield* put(a, `{"x": 1, "longer": [2]}`, { actor: "first" })
        const same = yield* put(a, `{"longer": [2.0], "x": 7, "x": 1e0}`, { actor: "second" })
        assert.strictEqual(same.revision, first.revision)
        assert.strictEqual(same.updatedBy, "second")
        assert.notStrictEqual(same.fingerprint, first.fingerprint)
        assert.isAbove((yield* put(a, "2")).revision, first.revision)
        assert.strictEqual(yield* Acme.use((db) => db.write(a, 2)), (yield* put(a, "2")).revision)
      })
    )

    test(
      "values are what jsonb makes of them: names in its order, the last of duplicates, no negative zero",
      Effect.gen(function* () {
        for (const [json, expected] of normalised) {
          yield* put(a, json)
          const stored = JSON.stringify(Option.getOrThrow(yield* read(a)).value)
          assert.strictEqual(stored, expected, json)
        }
      })
    )

    test(
      "JSON null is kept apart from no row, and a long value is kept whole",
      Effect.gen(function* () {
        const long = "🐟".repeat(250_000)
        yield* put(a, "null")
        yield* put(b, JSON.stringify(long))
        assert.strictEqual(Option.getOrThrow(yield* read(a)).value, null)
        assert.deepStrictEqual(valuesOf(yield* diff(nothing)), { 0: null, 1: long })
        assert.deepStrictEqual(yield* Effect.flatMap(know, diff), [])
      })
    )

    test(
      "remove returns the revision of the row it deleted, and nothing if there was none; a new row goes on above it",
      Effect.gen(function* () {
        const { revision } = yield* put(a, "1")
        yield* put(b, "2")
        assert.deepStrictEqual(yield* remove(a), Option.some(revision))
        assert.deepStrictEqual(yield* remove(a), Option.none())
        assert.deepStrictEqual(yield* read(a), Option.none())
        assert.strictEqual(Option.getOrThrow(yield* read(b)).value, 2)
        assert.isAbove((yield* put(a, "1")).revision, revision)
      })
    )

    test(
      "G10: put and remove change only a row that is at the expected revision; 0 expects no row",
      Effect.gen(function* () {
        const first = yield* put(a, "1", { ifRevision: 0 })
        assert.deepInclude(yield* reasonOf(put(a, "2", { ifRevision: 0 })), {
          _tag: "RevisionConflict",
          ...a,
          expected: 0,
          actual: first.revision
        })
        const second = yield* put(a, "2", { ifRevision: first.revision })
        for (const stale of [put(a, "3", { ifRevision: first.revision }), remove(a, first.revision), remove(a, 0)]) {
          assert.deepInclude(yield* reasonOf<unknown, any, any>(stale), { actual: second.revision })
        }
        assert.deepInclude(yield* reasonOf(put(b, "3", { ifRevision: 5 })), { expected: 5, actual: 0 })
        assert.deepInclude(yield* reasonOf(remove(b, 5)), { expected: 5, actual: 0 })
        assert.deepStrictEqual(yield* remove(b, 0), Option.none())
        assert.deepStrictEqual(yield* remove(a, second.revision), Option.some(second.revision))
      })
    )

    test(
      "putAll writes all, in the order given, or none",
      Effect.gen(function* () {
        const { revision } = yield* put(b, "0")
        assert.deepStrictEqual(
          (yield* putAll([
            [c, "3"],
            [a, "1"]
          ])).map(({ value }) => value),
          [3, 1]
        )
        assert.deepStrictEqual(yield* putAll([]), [])
        const before = yield* Acme.use((db) => db.rows)
        assert.deepInclude(
          yield* reasonOf(
            putAll([
              [a, "9"],
              [c, "9"],
              [b, "9", revision + 1_000]
            ])
          ),
          { _tag: "RevisionConflict", ...b }
        )
        assert.strictEqual(
          (yield* reasonOf(
            putAll([
              [a, "9"],
              [b, "not JSON"]
            ])
          ))._tag,
          "Refused"
        )
        assert.deepStrictEqual(yield* Acme.use((db) => db.rows), before)
        assert.isAbove((yield* put(a, "10")).revision, Math.max(...before.map((row) => row.revision)))
      })
    )

    test(
      "G10: writes and deletions of one change are all or nothing, and the conflict is named",
      Effect.gen(function* () {
        const { revision } = yield* put(b, "2")
        const { current, written } = yield* write([
          { ...a, json: "1", ifRevision: 0 },
          { ...b, json: undefined, ifRevision: revision },
          { ...c, json: "3" }
        ])
        assert.deepStrictEqual(
          [current, written.map(({ deleted, row }) => [row?.value, deleted])],
          [
            true,
            [
              [1, undefined],
              [undefined, revision],
              [3, undefined]
            ]
          ]
        )
        const before = yield* Acme.use((db) => db.rows)
        assert.deepInclude(
          yield* reasonOf(
            write([
              { ...a, json: undefined },
              { ...c, json: "9", ifRevision: 0 }
            ])
          ),
          { _tag: "RevisionConflict", ...c, expected: 0, actual: written[2]!.row!.revision }
        )
        assert.deepStrictEqual(yield* Acme.use((db) => db.rows), before)
      })
    )

    test(
      "a thousand keys are written in one statement, guarded or not, in the order given",
      Effect.gen(function* () {
        const many = Array.from({ length: 1000 }, (_, i) => ({
          namespace: "many",
          key: `k${(i * 7919) % 1000}`,
          json: `${i}`
        }))
        const first = yield* write(many)
        assert.deepStrictEqual(
          first.written.map(({ row }) => row?.value),
          [...many.keys()]
        )
        const again = yield* write(
          many.map((item, i) => ({ ...item, json: `${i + 1}`, ifRevision: first.written[i]!.row!.revision }))
        )
        assert.deepStrictEqual(again.written[999]!.row!.value, 1000)
        yield* write(many.map((item) => ({ ...item, json: undefined })))
        assert.deepStrictEqual(yield* Acme.use((db) => db.rows), [])
      })
    )

    test(
      "G10: a change id takes effect once: a copy writes nothing, and returns what the first one wrote",
      Effect.gen(function* () {
        const guard = yield* put(a, "0")
        const id = crypto.randomUUID()
        const send = write(
          [
            { ...a, json: "1", ifRevision: guard.revision },
            { ...b, json: `"x"` }
          ],
          { id }
        )
        const first = yield* send
        assert.deepStrictEqual(yield* send, first)
        // Another writer came after it: the copy leaves that alone.
        const other = yield* put(a, "7")
        const late = yield* send
        assert.isFalse(late.current)
        assert.deepStrictEqual(
          late.written.map(({ row }) => [row?.value, row?.revision, row?.updatedBy]),
          first.written.map(({ row }) => [row?.value, row?.revision, row?.updatedBy])
        )
        assert.deepStrictEqual(yield* read(a), Option.some(other))
        const gone = crypto.randomUUID()
        const removal = write([{ ...a, json: undefined }], { id: gone })
        assert.strictEqual((yield* removal).written[0]!.deleted, other.revision)
        yield* put(a, "8")
        assert.deepInclude(yield* removal, { current: false })
        assert.strictEqual(Option.getOrThrow(yield* read(a)).value, 8)
      })
    )

    test(
      "G10: a change id that comes again with another content is refused, and writes nothing",
      Effect.gen(function* () {
        const id = crypto.randomUUID()
        yield* write(
          [
            { ...a, json: "1" },
            { ...b, json: "1" }
          ],
          { id }
        )
        const before = yield* Acme.use((db) => db.rows)
        for (const other of [
          [{ ...a, json: "2" }],
          [{ ...a, json: "1" }],
          [{ ...c, json: "1" }],
          [{ ...a, json: undefined }],
          [{ ...c, json: undefined }],
          [
            { ...a, json: "1" },
            { ...b, json: "1" },
            { ...c, json: "1" }
          ]
        ]) {
          assert.deepInclude(yield* reasonOf(write(other, { id })), { _tag: "ChangeIdReused" })
        }
        assert.deepStrictEqual(yield* Acme.use((db) => db.rows), before)
      })
    )

    test(
      "G10: a change id of a secret that comes again with another value is refused while the first is in force",
      Effect.gen(function* () {
        const id = crypto.randomUUID()
        const set = (json: string) => write([{ ...a, json, secret: true }], { id })
        yield* set("1")
        yield* set("1")
        assert.deepInclude(yield* reasonOf(set("2")), { _tag: "ChangeIdReused" })
        assert.strictEqual(Option.getOrThrow(yield* read(a)).value, 1)
      })
    )

    test(
      "G10: outcome tells whether a change landed",
      Effect.gen(function* () {
        const store = yield* EntryStore
        const change = changeOf()
        const writes = [{ ...a, json: "1" }]
        assert.deepStrictEqual(yield* store.outcome(acme, writes, change), { _tag: "NotYet" })
        const receipt = yield* store.write(acme, writes, change)
        assert.deepStrictEqual(yield* store.outcome(acme, writes, change), { _tag: "Landed", receipt })
      })
    )

    test(
      "G7: seeding writes only keys that have no row, and says how many",
      Effect.gen(function* () {
        yield* put(a, "1")
        const seeds = [
          [a, "600"],
          [b, "20"],
          [c, `"hello"`]
        ] as const
        assert.strictEqual((yield* seed(seeds)).inserted, 2)
        assert.strictEqual((yield* seed(seeds)).inserted, 0)
        assert.strictEqual((yield* seed([])).inserted, 0)
        assert.deepStrictEqual(
          (yield* Acme.use((db) => db.rows)).map(({ updatedBy, value }) => [
            value,
            updatedBy.replace(/:[0-9a-f]{16}$/, ":its mark")
          ]),
          [
            [1, "test"],
            [20, "systemplane.manager:its mark"],
            ["hello", "systemplane.manager:its mark"]
          ]
        )
      })
    )

    test(
      "diff are the rows that are new or changed, and the keys whose row is gone",
      Effect.gen(function* () {
        const db = yield* Acme
        assert.deepStrictEqual(yield* diff(nothing), [])
        const known = [(yield* put(a, "1")).fingerprint, (yield* put(b, "2")).fingerprint, undefined]
        assert.deepStrictEqual(yield* diff(known), [])
        yield* db.write(a, "changed")
        yield* db.erase(b)
        yield* db.write(c, "new")
        yield* db.write({ namespace: "n", key: "nobody's" }, 2)
        yield* db.write({ namespace: "another", key: "b" }, 3)
        assert.deepStrictEqual(valuesOf(yield* diff(known)), { 0: "changed", 1: undefined, 2: "new" })
        assert.deepStrictEqual(yield* Effect.flatMap(know, diff), [])
        assert.deepStrictEqual(yield* EntryStore.use((store) => store.diff(acme)([], [])), [])
      })
    )

    test(
      "diff find a key whatever its name is made of",
      Effect.gen(function* () {
        const names = [`a"b`, "a\\b", "{a,b}", "NULL", "a b", " ", "naïve 🐟", "a\n'b"]
        const odd = [
          ...names.map((key) => ({ namespace: "n", key })),
          ...names.map((namespace) => ({ namespace, key: "k" }))
        ]
        yield* Effect.forEach(odd, (name, slot) => put(name, String(slot)))
        const found = yield* EntryStore.use((store) =>
          store.diff(acme)(
            odd,
            odd.map(() => undefined)
          )
        )
        assert.deepStrictEqual(valuesOf(found), { ...odd.keys().toArray() })
        yield* Effect.forEach(odd, (name) => remove(name))
      })
    )

    test(
      "G1: diff finds rows that came and went with the triggers disabled, a TRUNCATE, and an older copy",
      Effect.gen(function* () {
        const db = yield* Acme
        const before = yield* put(a, "1")
        yield* put(b, "2")
        const restore = yield* db.backup
        const backedUp = yield* know
        yield* db.withoutTriggers([{ key: a, value: 7 }, { key: c, value: 3 }, { key: b }])
        const found = yield* diff(backedUp)
        assert.deepStrictEqual(valuesOf(found), { 0: 7, 1: undefined, 2: 3 })
        assert.strictEqual(found[0]?.row?.revision, before.revision)
        const known = yield* know
        yield* db.truncate
        assert.deepStrictEqual(valuesOf(yield* diff(known)), { 0: undefined, 2: undefined })
        yield* put(a, "1")
        yield* restore
        // Its rows may count as new versions of what they were, with the same values.
        for (const { row, slot } of yield* diff(backedUp)) assert.strictEqual(row?.value, [1, 2][slot])
        assert.deepStrictEqual(valuesOf(yield* diff(known)), { 0: 1, 1: 2, 2: undefined })
        // The sequence went back too: a revision that was drawn once is drawn again, for another row.
        const restored = yield* know
        assert.isAbove((yield* put(a, "2")).revision, before.revision)
        assert.deepStrictEqual(valuesOf(yield* diff(restored)), { 0: 2 })
      })
    )

    test(
      "G9: diff shows one state of the database: keys written in one transaction come together",
      Effect.gen(function* () {
        const db = yield* Acme
        const seen = new Set<unknown>()
        const enough = () => seen.size > 20
        const writer = yield* Effect.gen(function* () {
          for (let value = 0; !enough(); value++) {
            yield* db.transact(keys.map((key) => ({ key, value })))
            yield* Effect.yieldNow
          }
        }).pipe(Effect.forkChild({ startImmediately: true }))
        while (!enough()) {
          assert.isUndefined(writer.pollUnsafe())
          const values = valuesOf(yield* diff(nothing))
          seen.add(values[0])
          assert.deepStrictEqual(values, values[0] === undefined ? {} : { 0: values[0], 1: values[0], 2: values[0] })
          yield* Effect.yieldNow
        }
        yield* Fiber.join(writer)
      })
    )

    test(
      "a refused write did nothing, and its error never repeats the value",
      Effect.gen(function* () {
        for (const json of [`"canary`, `"canary\\u0000"`, `"canary\\ud83d"`, ""]) {
          const error = yield* Effect.flip(put(a, json))
          assert.strictEqual(error.reason._tag, "Refused", json)
          assert.notInclude(Witness.textOf(error), "canary")
        }
        assert.deepStrictEqual(yield* Acme.use((db) => db.rows), [])
      })
    )

    test(
      "works on after a release, and a release that finds nothing to release succeeds",
      Effect.gen(function* () {
        const store = yield* EntryStore
        yield* store.release(acme)
        yield* put(a, "1")
        yield* store.release(acme)
        assert.strictEqual(Option.getOrThrow(yield* read(a)).value, 1)
      })
    )
  })

/** What is written, and as what PostgreSQL 18 stores and JavaScript reads it. */
const normalised = [
  [`{"bb": 1, "a": 2, "é": 3, "z": 4, "10": 5, "9": 6}`, `{"9":6,"10":5,"a":2,"z":4,"bb":1,"é":3}`],
  [`{"a": {"y": 1, "x": {"b": 0, "a": -0}}, "a": {"yy": 1, "x": 2}}`, `{"a":{"x":2,"yy":1}}`],
  ["[1.50, 1e3, -0.0, null, [], {}]", "[1.5,1000,0,null,[],{}]"],
  [`{"__proto__": {"x": 1}}`, `{"__proto__":{"x":1}}`],
  [`"\\u00e9\\ud83d\\udc1f"`, `"é🐟"`]
] as const
