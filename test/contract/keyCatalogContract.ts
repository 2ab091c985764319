import { assert, layer } from "@effect/vitest"
import { Effect, Schema } from "effect"
import {
  ConfigKey,
  type EntryStore,
  HistoryStore,
  KeyCatalog,
  type KeyDeclaration,
  KeyDeclarations,
  type KeyName
} from "effect-systemplane"
import * as Declaration from "../../src/schema/operator/KeyDeclaration.ts"
import * as keys from "../support/keys.ts"
import { ApiKey, Limit } from "../support/keys.ts"
import { Acme, acme } from "./Acme.ts"
import { type Implementation, onPlane } from "./Implementation.ts"

const Owned = ConfigKey.make("mail", "footer", {
  schema: Schema.NullOr(Schema.String),
  defaultValue: null,
  description: "What every mail ends with",
  owner: "team-mail",
  examples: ["Yours", null]
})

const declare = (declaredBy: string, ...declarations: ReadonlyArray<KeyDeclaration>) =>
  KeyDeclarations.use((store) => store.declare(acme, declaredBy, declarations))

const read = KeyDeclarations.use((store) => store.read(acme))

const find = (name: KeyName) =>
  Effect.map(read, ({ keys }) => keys.find(({ key, namespace }) => key === name.key && namespace === name.namespace)!)

const recordsOf = ({ key, namespace }: KeyName) =>
  Effect.map(
    HistoryStore.use((store) => store.ofKey(acme, { namespace, key }, { before: undefined, limit: 100 })),
    ({ records }) => records
  )

export const keyCatalogContract = <Database>({ database, name, plane, services }: Implementation<Database>) =>
  layer(database, { excludeTestServices: true, timeout: "30 seconds" })(`KeyCatalog: ${name}`, (it) => {
    onPlane<Database, void>(it.effect, plane)(
      "activation writes what the process declares into the catalogue",
      Effect.gen(function* () {
        const { declaredBy, ...found } = yield* KeyCatalog.get(Owned)
        assert.deepStrictEqual(declaredBy, ["shop@1.2.3"])
        assert.deepStrictEqual(found, {
          namespace: "mail",
          key: "footer",
          description: "What every mail ends with",
          owner: "team-mail",
          secret: false,
          exact: true,
          schema: {
            $schema: "https://json-schema.org/draft/2020-12/schema",
            anyOf: [{ type: "string" }, { type: "null" }]
          },
          defaultValue: null,
          examples: ["Yours", null]
        })
        const { keys: all } = yield* KeyCatalog.read
        assert.includeMembers(
          all.map(({ key }) => key),
          [Limit.key, ApiKey.key, Owned.key]
        )
        const unknown = yield* Effect.flip(KeyCatalog.get({ namespace: "no", key: "such" }))
        assert.strictEqual(unknown.reason._tag, "UnknownKey")
      }),
      { keys: [...keys.all, Owned], process: { application: "shop", version: "1.2.3" } }
    )

    const test = (
      title: string,
      effect: Effect.Effect<unknown, unknown, EntryStore | KeyDeclarations | HistoryStore | Acme>
    ) => it.effect(title, () => Effect.provide(effect, services))

    test(
      "a declaration is written if it differs; the newest is shown, with all that made one",
      Effect.gen(function* () {
        const owned = Declaration.of(Owned)
        const ours = [owned, Declaration.of(Limit)]
        const declareOurs = KeyDeclarations.use((store) => store.declare(acme, "shop@1", ours))
        assert.strictEqual((yield* declareOurs).written, 2)
        // What is up to date is recognised from then on, as long as it is.
        for (const changed of [
          { ...owned, owner: "another team" },
          { ...owned, examples: undefined }
        ]) {
          for (const written of [0, 0, 0]) assert.strictEqual((yield* declareOurs).written, written)
          assert.strictEqual((yield* declare("shop@1", changed)).written, 1)
          assert.strictEqual((yield* declareOurs).written, 1)
        }
        assert.strictEqual(
          (yield* declare("shop@1", { ...owned, owner: "another team" }, Declaration.of(Limit))).written,
          1
        )
        assert.deepInclude(yield* find(Owned), { owner: "another team", declaredBy: ["shop@1"] })
        assert.strictEqual(
          (yield* declare("console@9", { ...owned, description: "as the console sees it" })).written,
          1
        )
        assert.deepInclude(yield* find(Owned), {
          description: "as the console sees it",
          declaredBy: ["console@9", "shop@1"]
        })
      })
    )

    test(
      "entries that no application declares are counted and named",
      Effect.gen(function* () {
        const stranger = { namespace: "left over", key: "by an older version" }
        yield* Acme.use((db) => db.write(stranger, 1))
        yield* Acme.use((db) => db.write(Limit, 1))
        const ours = [Declaration.of(Limit)]
        for (let time = 1; time <= 3; time++) {
          const { undeclared } = yield* KeyDeclarations.use((store) => store.declare(acme, "shop@1", ours))
          assert.strictEqual(undeclared, 1)
        }
        assert.deepStrictEqual((yield* read).unknown, [stranger])
        // What another application declares is none.
        assert.strictEqual((yield* declare("console@9", Declaration.of(Owned))).undeclared, 1)
      })
    )

    test(
      "G16: a secret has no default, no example and no value in a record, also in those made before it was one",
      Effect.gen(function* () {
        const db = yield* Acme
        yield* declare("shop@1", Declaration.of(ApiKey), Declaration.of(Limit))
        assert.deepInclude(yield* find(ApiKey), { secret: true, defaultValue: undefined, examples: undefined })
        assert.deepInclude(yield* find(Limit), { secret: false, defaultValue: 600 })
        yield* db.write(ApiKey, "canary-1")
        yield* db.write(Limit, 7)
        yield* declare("vault@1", { ...Declaration.of(Limit), secret: true, defaultValue: undefined })
        yield* db.write(Limit, 8)
        for (const key of [ApiKey, Limit]) {
          const records = yield* recordsOf(key)
          assert.isNotEmpty(records)
          for (const record of records) {
            // The deletion of an untouched seed never held a value.
            assert.isTrue(record.redacted || record.operation === "delete")
            assert.notProperty(record, "value")
            assert.notProperty(record, "previousValue")
          }
        }
        assert.deepInclude(yield* find(Limit), { secret: true, defaultValue: undefined })
        // An application that does not know of it yet neither undoes it nor writes again and again.
        yield* declare("shop@1", Declaration.of(Limit))
        assert.strictEqual((yield* declare("shop@1", Declaration.of(Limit))).written, 0)
        assert.deepInclude(yield* find(Limit), { secret: true, defaultValue: undefined })
        assert.strictEqual(yield* HistoryStore.use((store) => store.verify(acme)), 0)
      })
    )
  })
