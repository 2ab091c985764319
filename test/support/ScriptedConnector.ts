/**
 * A connector that does what a test says, under the test's clock: sessions that open, fail, hang, fall silent or are
 * lost, over a table that is kept here. It stands in for time and failure, not for PostgreSQL: what SQL does is tested
 * on the real one.
 */
import { Clock, Deferred, Effect, Latch, Layer, Option, Queue, type Scope } from "effect"
import { TransactionConnection } from "effect/sql/SqlClient"
import { ConnectionError, SqlError } from "effect/sql/SqlError"
import { Connector, ConnectorError, type QueryEach, type TenantId } from "effect-systemplane"
import * as PgCursorRead from "../../src/layers/postgres/diff/PgCursorRead.ts"
import * as PgKeyDiff from "../../src/layers/postgres/diff/PgKeyDiff.ts"
import * as PgNamespaceScan from "../../src/layers/postgres/diff/PgNamespaceScan.ts"
import * as PgPast from "../../src/layers/postgres/history/PgPast.ts"
import * as PgEntryRead from "../../src/layers/postgres/PgEntryRead.ts"
import * as PgKeyDeclarations from "../../src/layers/postgres/PgKeyDeclarations.ts"
import * as PgOneTenantPerDatabase from "../../src/layers/postgres/PgOneTenantPerDatabase.ts"
import * as PgSeeding from "../../src/layers/postgres/PgSeeding.ts"
import * as PgWrites from "../../src/layers/postgres/PgWrites.ts"
import * as PgCatalogDigest from "../../src/layers/postgres/schema/PgCatalogDigest.ts"

export interface ScriptedTenant {
  /** What the next sessions do when they are opened. */
  opening: "succeed" | "fail" | "hang" | "die" | "interrupt"
  /** Whether statements on sessions are answered. */
  answering: "yes" | "no" | "never"
  /** How long an answer takes, in milliseconds. */
  answersAfter: number
  /** How long each row takes to arrive on sessions that are opened from now on; 0: all rows come at once. */
  rowsAfter: number
  /** Whether statements on the pooled client are answered. */
  clients: "yes" | "no" | "never" | "interrupt"
  /** Whether the history says what was in force before a row. */
  recalling: "yes" | "never"
  /** Whether a session can be released. */
  releasing: "yes" | "never" | "die"
  /** When sessions were asked for, in milliseconds. */
  readonly attempts: Array<number>
  /** When pooled clients were asked for. */
  readonly clientAttempts: Array<number>
  /** Whole reads on sessions, and the most that were under way at once. */
  reads: number
  readsAtOnce: number
  /** Closed: whole reads wait. */
  readonly gate: Latch.Latch
  /** Statements on the pooled client. */
  statements: number
  /** Closed: reads on the pooled client have been sent, and their answers wait. */
  readonly clientGate: Latch.Latch
  /** Sessions that are open now. */
  open: number
  /** Writes a row without a notification, stamped with this second of the epoch. */
  readonly write: (key: string, value: unknown, seconds?: number) => void
  readonly erase: (key: string) => void
  /** Sends payloads to the open session. */
  readonly notify: (...payloads: ReadonlyArray<string>) => void
  /** Ends the open session. */
  readonly lose: () => void
}

export const upsert = (namespace: string, key: string, revision = 1) =>
  JSON.stringify({ namespace, key, op: "upsert", revision })

const { selectAllAged, selectAllAgeless, selectNewer } = PgNamespaceScan
const comparesKeyByKey = (sql: string) => sql === PgKeyDiff.selectDifferences
const readsAll = (sql: string) => sql === selectAllAged || sql === selectAllAgeless || wholes.has(sql)
const wholes = new Set([PgCursorRead.selectWhole, PgCursorRead.selectWholeAtOnce])
const readsNewer = (sql: string) => sql === selectNewer
const identifies = (sql: string) => sql === PgOneTenantPerDatabase.identify
const isReadOfEverything = (sql: string) => comparesKeyByKey(sql) || readsAll(sql) || readsNewer(sql)

/** A row as statements return it. */
interface Columns {
  readonly value: unknown
  readonly revision: number
  readonly seconds: number
  readonly updatedBy: string
  readonly fingerprint: bigint
}

/** Scattered over 64 bits, as hashes are: the digests of some do not tell the digest of others. */
const fingerprintOf = (revision: number) => BigInt.asIntN(64, BigInt(revision) * 0x9e3779b97f4a7c15n)

/** The elements of an array of texts or numbers as PostgreSQL reads it. */
const elementsOf = (array: string): ReadonlyArray<string> =>
  array.startsWith('{"') ? JSON.parse(`[${array.slice(1, -1)}]`) : array.slice(1, -1).split(",")

const failed = new SqlError({ reason: new ConnectionError({ cause: new Error("scripted"), operation: "query" }) })

export const make = (sole: Option.Option<TenantId> = Option.none()) => {
  const tenants = new Map<
    string,
    { readonly script: ScriptedTenant; readonly table: Map<string, Columns>; session: Session | undefined }
  >()

  interface Session {
    readonly payloads: Queue.Queue<string, ConnectorError>
    readonly lost: Deferred.Deferred<never, SqlError>
  }

  const tenantOf = (tenant: string) => {
    const known = tenants.get(tenant)
    if (known !== undefined) return known
    const table = new Map<string, Columns>()
    let sequence = 0
    const script: ScriptedTenant = {
      opening: "succeed",
      answering: "yes",
      answersAfter: 0,
      rowsAfter: 0,
      clients: "yes",
      recalling: "yes",
      releasing: "yes",
      attempts: [],
      clientAttempts: [],
      reads: 0,
      readsAtOnce: 0,
      gate: Latch.makeUnsafe(true),
      statements: 0,
      clientGate: Latch.makeUnsafe(true),
      open: 0,
      write: (key, value, seconds = 0) => {
        const revision = ++sequence
        table.set(key, {
          value: JSON.stringify(value),
          revision,
          seconds,
          updatedBy: "stranger",
          fingerprint: fingerprintOf(revision)
        })
      },
      erase: (key) => {
        table.delete(key)
      },
      notify: (...payloads) => {
        for (const payload of payloads) if (state.session) Queue.offerUnsafe(state.session.payloads, payload)
      },
      lose: () => {
        const { session } = state
        state.session = undefined
        if (session === undefined) return
        Queue.failCauseUnsafe(session.payloads, causeOf(lostError(tenant)))
        Deferred.doneUnsafe(session.lost, Effect.fail(failed))
      }
    }
    const state = { script, table, session: undefined as Session | undefined }
    tenants.set(tenant, state)
    return state
  }

  const lostError = (tenant: string) =>
    new ConnectorError({ tenant: tenant as TenantId, reason: new ConnectorError.SessionLost({}) })
  const connectError = (tenant: string) =>
    new ConnectorError({
      tenant: tenant as TenantId,
      reason: new ConnectorError.ConnectFailed({ code: "ECONNREFUSED" })
    })

  const statement = (tenant: string, sql: string, params: ReadonlyArray<unknown> = []): ReadonlyArray<unknown> => {
    const { table } = tenantOf(tenant)
    if (identifies(sql)) return [{ system: "1", started: "1", database: tenant }]
    if (readsAll(sql) || readsNewer(sql)) {
      const [sent, , above = -1n] = params as [string, number, bigint?]
      const namespaces = elementsOf(sent)
      const rows = [...table].flatMap(([name, row]) => {
        const [namespace, key] = name.split("/") as [string, string]
        return namespaces.includes(namespace) ? [{ namespace, key, age: 0, ...row }] : []
      })
      if (readsAll(sql)) return rows
      const digest = rows.reduce((digest, { fingerprint }) => digest ^ fingerprint, 0n)
      const newer = rows.filter(({ revision }) => BigInt(revision) > above)
      return newer.length === 0 ? [{ digest, namespace: null }] : newer.map((row) => ({ digest, ...row }))
    }
    if (comparesKeyByKey(sql)) {
      const [namespaces, keys, fingerprints] = params.map((array) => elementsOf(array as string)) as [
        ReadonlyArray<string>,
        ReadonlyArray<string>,
        ReadonlyArray<string>
      ]
      return keys.flatMap((key, slot) => {
        const row = table.get(`${namespaces[slot]}/${key}`)
        const fingerprint = row === undefined ? "NULL" : String(row.fingerprint)
        return fingerprint === fingerprints[slot]
          ? []
          : [{ slot, fingerprint: null, age: row === undefined ? null : 0, ...row }]
      })
    }
    // Nothing is on record.
    if (sql === PgPast.selectPast) return []
    // The objects are as they were.
    if (sql === PgCatalogDigest.glimpse) return [{ digest: "in order" }]
    // The catalogue holds every declaration already.
    if (sql === PgKeyDeclarations.upsertDeclarations) return [{ count: 0 }]
    // Seeding: every default has its row already.
    if (sql === PgSeeding.insertSeeds) return []
    if (sql === PgWrites.writeEntries) {
      const [[namespace], [key], [json]] = params.slice(0, 3).map((array) => elementsOf(array as string)) as [
        ReadonlyArray<string>,
        ReadonlyArray<string>,
        ReadonlyArray<string>
      ]
      tenantOf(tenant).script.write(`${namespace}/${key}`, JSON.parse(json!))
      return [{ actual: 0, guard: null, deleted: null, put: true, ...table.get(`${namespace}/${key}`) }]
    }
    if (sql === PgEntryRead.selectRow) {
      const row = table.get(`${params[0]}/${params[1]}`)
      return row === undefined ? [] : [row]
    }
    throw new Error(`not in the script: ${sql}`)
  }

  const answer = (how: ScriptedTenant["clients"], run: () => ReadonlyArray<unknown>) => {
    switch (how) {
      case "yes":
        return Effect.sync(run)
      case "no":
        return Effect.fail(failed)
      case "never":
        return Effect.never
      case "interrupt":
        return Effect.interrupt
    }
  }

  const session = (tenant: TenantId): Effect.Effect<any, ConnectorError, Scope.Scope> =>
    Effect.gen(function* () {
      const state = tenantOf(tenant)
      const { script } = state
      script.attempts.push(yield* Clock.currentTimeMillis)
      if (script.opening === "fail") return yield* connectError(tenant)
      if (script.opening === "die") return yield* Effect.die("a defect in the connector")
      if (script.opening === "interrupt") return yield* Effect.interrupt
      if (script.opening === "hang") return yield* Effect.never
      const mine: Session = { payloads: yield* Queue.unbounded<string, ConnectorError>(), lost: Deferred.makeUnsafe() }
      state.session = mine
      script.open++
      yield* Effect.addFinalizer(() => {
        if (script.releasing === "never") return Effect.never
        script.open--
        return script.releasing === "die" ? Effect.die("a defect in the connector") : Effect.void
      })
      const read = (sql: string, params?: ReadonlyArray<unknown>) =>
        Effect.gen(function* () {
          script.reads++
          atOnce++
          script.readsAtOnce = Math.max(script.readsAtOnce, atOnce)
          // The answer is that of the moment the statement was sent.
          const rows = yield* answer(script.answering, () => statement(tenant, sql, params))
          if (script.answersAfter > 0) yield* Effect.sleep(script.answersAfter)
          yield* script.gate.await
          return rows
        }).pipe(Effect.ensuring(Effect.sync(() => atOnce--)))
      let atOnce = 0
      const arriving: QueryEach = (sql, params, take) =>
        Effect.raceFirst(
          Effect.flatMap(read(sql, params), (rows) =>
            Effect.forEach(
              rows,
              (row) =>
                Effect.andThen(
                  Effect.sleep(script.rowsAfter),
                  Effect.sync(() => take([row]))
                ),
              {
                discard: true
              }
            )
          ),
          Deferred.await(mine.lost)
        )
      return {
        query: (sql: string, params?: ReadonlyArray<unknown>) =>
          Effect.raceFirst(
            isReadOfEverything(sql) ? read(sql, params) : Effect.sync(() => statement(tenant, sql, params)),
            Deferred.await(mine.lost)
          ),
        queryEach: script.rowsAfter > 0 ? arriving : undefined,
        payloads: Queue.takeAll(mine.payloads),
        abandon: Effect.sync(() => {
          if (state.session === mine) script.lose()
        })
      }
    })

  const client = (tenant: TenantId) =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      tenantOf(tenant).script.clientAttempts.push(now)
      return pooled(tenant)
    })

  const pooled = (tenant: TenantId) =>
    ({
      transactionService: TransactionConnection(0),
      unsafe: (sql: string, params?: ReadonlyArray<unknown>) =>
        Effect.suspend(() => {
          const { script } = tenantOf(tenant)
          if (!identifies(sql)) script.statements++
          const how = identifies(sql) ? "yes" : sql === PgPast.selectPast ? script.recalling : script.clients
          const answered = answer(how, () => statement(tenant, sql, params))
          // The answer is that of the moment the statement was sent.
          return sql.startsWith("SELECT") && !identifies(sql) ? Effect.tap(answered, script.clientGate.await) : answered
        })
    }) as any

  return {
    layer: Layer.succeed(Connector, { sole, client, session }),
    tenant: (tenant: string): ScriptedTenant => tenantOf(tenant).script
  }
}

const causeOf = (error: ConnectorError) => Effect.runSync(Effect.sandbox(Effect.fail(error)).pipe(Effect.flip))
