/**
 * The catalogue of keys in PostgreSQL. An up-to-date database sees no write: it is recognised by a digest of what it
 * holds, if one with the same digest was found up to date before.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import type { SqlError } from "effect/sql/SqlError"
import type { CatalogKey, KeyDeclaration } from "../../schema/operator/KeyDeclaration.ts"
import type { Query } from "../../services/Connector.ts"
import { KeyDeclarations } from "../../services/KeyDeclarations.ts"
import * as PgEncodableKeys from "./diff/PgEncodableKeys.ts"
import { PgDatabases } from "./PgDatabases.ts"
import { isStored, unexpectedShape } from "./PgRows.ts"
import * as KnownDigests from "./schema/KnownDigests.ts"

const make = Effect.map(PgDatabases, (databases) => {
  /** Digests of catalogues that hold these declarations. */
  const upToDate = KnownDigests.make<ReadonlyArray<KeyDeclaration>, bigint>()

  const declare = Effect.fnUntraced(function* (
    query: Query,
    declaredBy: string,
    declarations: ReadonlyArray<KeyDeclaration>
  ): Effect.fn.Return<typeof Declared.Type, SqlError | Schema.SchemaError> {
    const known = upToDate(declarations)
    if (!known.isEmpty()) {
      const [found] = yield* Effect.flatMap(query(selectDeclared, [declaredBy]), decodeDeclared)
      if (known.has(found.digest)) return found
    }
    const [declared] = yield* Effect.flatMap(
      query(upsertDeclarations, [textOf(declarations), declaredBy]),
      decodeDeclared
    )
    if (declared.written === 0) known.add(declared.digest)
    return declared
  })

  return KeyDeclarations.of({
    declare: (tenant, declaredBy, declarations) =>
      declarations.length === 0
        ? Effect.succeed({ written: 0, undeclared: 0 })
        : databases.runAhead(tenant, (query) =>
            unexpectedShape(declare(query, declaredBy, declarations)).pipe(
              Effect.catchIf(PgEncodableKeys.isUnencodable, () =>
                Effect.flatMap(encodableOf(query, declaredBy, declarations), ([by, held]) =>
                  unexpectedShape(declare(query, by, held))
                )
              )
            )
          ),
    read: (tenant) =>
      databases.run(tenant, (query) =>
        Effect.zipWith(
          Effect.flatMap(query(selectKeys), decodeKeys),
          Effect.flatMap(query(selectUnknown), decodeNames),
          (rows, unknown) => ({ keys: newest(rows), unknown })
        ).pipe(unexpectedShape)
      )
  })
})

export const layer = Layer.effect(KeyDeclarations, make)

/** What a declaration says of a key, with what it says without it. */
const without = {
  description: { description: undefined },
  owner: { owner: undefined },
  schema: { schema: {}, exact: false },
  defaultValue: { defaultValue: undefined },
  examples: { examples: undefined }
} as const
const parts = Struct.keys(without)

/**
 * What the database's encoding can hold of declarations. A key whose name it cannot hold has no row; of any other at
 * least the name is declared, and that it is a secret: or the history would keep what others write to it. An application
 * is named as in a URL.
 */
const encodableOf = Effect.fnUntraced(function* (
  query: Query,
  declaredBy: string,
  declarations: ReadonlyArray<KeyDeclaration>
) {
  const unnamed = yield* PgEncodableKeys.unencodableOf(query, [{ text: declaredBy }])
  const texts = declarations.flatMap((declaration) => [
    { declaration, part: "name" as const, text: `${declaration.namespace}${declaration.key}` },
    ...parts.map((part) => ({ declaration, part, text: JSON.stringify(declaration[part]) ?? "" }))
  ])
  const held = new Map(declarations.map((declaration) => [declaration, declaration]))
  for (const { declaration, part } of yield* PgEncodableKeys.unencodableOf(query, texts)) {
    const rest = held.get(declaration)
    if (part === "name") held.delete(declaration)
    else if (rest !== undefined) held.set(declaration, { ...rest, ...without[part] })
  }
  return [unnamed.length > 0 ? encodeURI(declaredBy) : declaredBy, [...held.values()]] as const
})

/** How long a declaration is kept that no process repeats; a process repeats its own once a week. */
const keptFor = "30 days"
const repeatedAfter = "7 days"

const textOf = (declarations: ReadonlyArray<KeyDeclaration>): string =>
  JSON.stringify(
    declarations.map(({ defaultValue, ...declaration }) => ({
      ...declaration,
      default_text: defaultValue === undefined ? undefined : JSON.stringify(defaultValue)
    }))
  )

/** Of all from which follows whether a declaration of `declaredBy` has to be written. NULL if there is none. */
const digestFor = (declaredBy: string) => `(
    SELECT pg_catalog.bit_xor(pg_catalog.hash_record_extended(ROW(k.declared_by = ${declaredBy}, k.declared_by,
      k.declared_at < now() - interval '${repeatedAfter}', k.namespace, k.key, k.secret, k.description, k.owner,
      k.schema, k.exact, k.default_value, k.examples), 0))
    FROM systemplane_keys AS k WHERE k.declared_by = ${declaredBy} OR k.secret
  )`

/** The digest, and how many entries no application declares. Exported, as its neighbour, so that tests recognise it. */
export const selectDeclared = `
  SELECT 0 AS written, ${digestFor("$1")} AS digest, (
    SELECT count(*) FROM (
      SELECT e.* FROM systemplane_entries AS e
      WHERE NOT EXISTS (SELECT FROM systemplane_keys AS k WHERE k.namespace = e.namespace AND k.key = e.key)
      OFFSET 0
    ) AS e WHERE ${isStored}
  )::int AS undeclared`

/**
 * Writes declarations that differ. A trigger keeps secrets secret, and takes default and examples of a key that any
 * application calls one: compared is what it would leave. Exported so that tests recognise it by identity.
 */
export const upsertDeclarations = `
  WITH given AS (
    SELECT d.namespace, d.key, d.secret OR coalesce(k.secret, false) AS secret, d.description, d.owner, d.schema, d.exact,
      CASE WHEN NOT s.secret THEN d.default_text::jsonb END AS default_value,
      CASE WHEN NOT s.secret THEN d.examples END AS examples
    FROM pg_catalog.jsonb_to_recordset($1::jsonb) AS d (namespace text, key text, secret boolean, description text, owner text,
      schema jsonb, exact boolean, default_text text, examples jsonb)
    LEFT JOIN systemplane_keys AS k ON k.namespace = d.namespace AND k.key = d.key AND k.declared_by = $2
    CROSS JOIN LATERAL (
      SELECT d.secret OR EXISTS (
        SELECT FROM systemplane_keys AS o WHERE o.namespace = d.namespace AND o.key = d.key AND o.secret
      ) AS secret
    ) AS s
    WHERE k.declared_at IS NULL OR k.declared_at < now() - interval '${repeatedAfter}'
      OR (k.secret, k.description, k.owner, k.schema, k.exact) IS DISTINCT FROM
        (d.secret OR k.secret, d.description, d.owner, d.schema, d.exact)
      OR k.default_value IS DISTINCT FROM CASE WHEN NOT s.secret THEN d.default_text::jsonb END
      OR k.examples IS DISTINCT FROM CASE WHEN NOT s.secret THEN d.examples END
  ), written AS (
    INSERT INTO systemplane_keys AS k
      (namespace, key, declared_by, secret, description, owner, schema, exact, default_value, examples, declared_at)
    SELECT g.namespace, g.key, $2, g.secret, g.description, g.owner, g.schema, g.exact, g.default_value, g.examples, now()
    FROM given AS g ORDER BY g.namespace, g.key
    ON CONFLICT (namespace, key, declared_by) DO UPDATE
    SET secret = excluded.secret, description = excluded.description, owner = excluded.owner, schema = excluded.schema,
      exact = excluded.exact, default_value = excluded.default_value, examples = excluded.examples,
      declared_at = excluded.declared_at
    RETURNING 1
  ), expired AS (
    DELETE FROM systemplane_keys AS k WHERE NOT k.secret AND k.declared_at < now() - interval '${keptFor}'
      AND EXISTS (SELECT FROM given) AND k.declared_by <> $2
  )
  SELECT (SELECT count(*) FROM written)::int AS written, ${digestFor("$2")} AS digest, (
    SELECT count(*) FROM (
      SELECT e.* FROM systemplane_entries AS e
      WHERE NOT EXISTS (SELECT FROM systemplane_keys AS k WHERE k.namespace = e.namespace AND k.key = e.key)
        AND NOT EXISTS (
          SELECT FROM pg_catalog.jsonb_to_recordset($1::jsonb) AS d (namespace text, key text)
          WHERE d.namespace = e.namespace AND d.key = e.key
        )
      -- Seeds are told from stored values afterwards: by a hash, and there may be one for each key.
      OFFSET 0
    ) AS e WHERE ${isStored}
  )::int AS undeclared`

const Declared = Schema.Struct({
  written: Schema.Int,
  undeclared: Schema.Int,
  digest: Schema.NullOr(Schema.BigInt)
})
const decodeDeclared = Schema.decodeUnknownEffect(Schema.NonEmptyArray(Declared))

const selectKeys = `
  SELECT k.namespace, k.key, k.declared_by AS "declaredBy", k.secret, k.description, k.owner, k.schema,
    coalesce(k.exact, false) AS exact, k.default_value::text AS "defaultText", k.examples
  FROM systemplane_keys AS k
  ORDER BY k.namespace COLLATE "C", k.key COLLATE "C", k.declared_at DESC, k.declared_by`

const Keys = Schema.Array(
  Schema.Struct({
    namespace: Schema.String,
    key: Schema.String,
    declaredBy: Schema.String,
    secret: Schema.Boolean,
    description: Schema.NullOr(Schema.String),
    owner: Schema.NullOr(Schema.String),
    schema: Schema.NullOr(Schema.Json),
    exact: Schema.Boolean,
    /** As text: a default that is null is not the same as none. */
    defaultText: Schema.NullOr(Schema.String),
    examples: Schema.NullOr(Schema.Array(Schema.Json))
  })
)
const decodeKeys = Schema.decodeUnknownEffect(Keys)

const selectUnknown = `
  SELECT e.namespace, e.key FROM systemplane_entries AS e
  WHERE ${isStored} AND NOT EXISTS (
    SELECT FROM systemplane_keys AS k WHERE k.namespace = e.namespace AND k.key = e.key
  )
  ORDER BY e.namespace COLLATE "C", e.key COLLATE "C"`

const Names = Schema.Array(Schema.Struct({ namespace: Schema.String, key: Schema.String }))
const decodeNames = Schema.decodeUnknownEffect(Names)

/** One key for all its declarations, the newest of which comes first; a secret if any of them says so. */
const newest = (rows: typeof Keys.Type): ReadonlyArray<CatalogKey> => {
  const keys: Array<CatalogKey> = []
  for (const { declaredBy, defaultText, description, examples, owner, schema, ...row } of rows) {
    const last = keys.at(-1)
    if (last?.namespace === row.namespace && last.key === row.key) {
      keys[keys.length - 1] = {
        ...last,
        secret: last.secret || row.secret,
        declaredBy: [...last.declaredBy, declaredBy]
      }
      continue
    }
    keys.push({
      ...row,
      description: description ?? undefined,
      owner: owner ?? undefined,
      schema: schema ?? {},
      defaultValue: defaultText === null ? undefined : JSON.parse(defaultText),
      examples: examples ?? undefined,
      declaredBy: [declaredBy]
    })
  }
  return keys
}
