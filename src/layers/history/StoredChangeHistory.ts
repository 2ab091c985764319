/**
 * `ChangeHistory` over the store of records and the cache.
 *
 * ```
 *   list, ofKey, get, at, since ──▶ HistoryStore
 *   rollback, revert ──▶ HistoryStore (what was) ──▶ the schemas of today ──▶ TenantCache.write (guarded, one transaction)
 * ```
 *
 * What is taken back is an ordinary write: nothing here changes a row by itself. A guard that fails is explained by the
 * history.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { InvalidTenantId, type RevisionConflict } from "../../schema/ConfigError.ts"
import type { ConfigKey } from "../../schema/ConfigKey.ts"
import type { NamedEntry } from "../../schema/Entry.ts"
import { type KeyName, nameOf } from "../../schema/KeyName.ts"
import {
  ChangedSince,
  type ChangeHistoryError,
  type Conflict,
  UnknownChange,
  UnknownRevision
} from "../../schema/operator/ChangeHistoryError.ts"
import {
  type ChangeQuery,
  type ChangeRecord,
  changeOf,
  group,
  type HistoryEvent,
  type PageRequest
} from "../../schema/operator/ChangeRecord.ts"
import * as ConfigDiff from "../../schema/operator/ConfigDiff.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import * as Tenant from "../../schema/TenantId.ts"
import * as WriteRequest from "../../schema/WriteRequest.ts"
import { ChangeHistory } from "../../services/ChangeHistory.ts"
import { currentTenant } from "../../services/CurrentTenant.ts"
import { HistoryStore, type HistoryStoreError } from "../../services/HistoryStore.ts"
import { KeyRegistry } from "../../services/KeyRegistry.ts"
import { TenantCache } from "../../services/TenantCache.ts"
import { Lifetime } from "../runtime/Lifetime.ts"
import { historyPollInterval } from "../runtime/Timeouts.ts"
import { unknownKey } from "../store/ConfigFailure.ts"
import * as ApplicationCode from "../telemetry/ApplicationCode.ts"
import * as Redaction from "../telemetry/Redaction.ts"
import * as CheckedRequests from "./CheckedRequests.ts"
import { failWith, ofConfig, ofStore } from "./HistoryFailure.ts"
import { spansOf, textOf } from "./PastValues.ts"
import * as WithheldSecrets from "./WithheldSecrets.ts"

export interface StoredChangeHistoryOptions {
  /** The tenant if none is set. */
  readonly sole: Option.Option<TenantId>
}

const uuid = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i

const make = Effect.fnUntraced(function* (options: StoredChangeHistoryOptions) {
  const cache = yield* TenantCache
  const registry = yield* KeyRegistry
  const store = WithheldSecrets.make(yield* HistoryStore, registry)
  const enter = yield* ApplicationCode.entrance
  const lifetime = yield* Lifetime
  const current = Effect.mapError(currentTenant(Option.getOrUndefined(options.sole)), ofConfig)

  const reading = <A>(question: Effect.Effect<A, HistoryStoreError>): Effect.Effect<A, ChangeHistoryError> =>
    Effect.catchTag(lifetime.orClosed(Effect.mapError(question, ofStore)), "ConfigError", (error) =>
      Effect.fail(ofConfig(error))
    )

  const asked = <A>(question: (tenant: TenantId) => Effect.Effect<A, HistoryStoreError>) =>
    enter(Effect.flatMap(current, (tenant) => reading(question(tenant))))

  const tenantOf = (given: unknown) =>
    given === undefined
      ? current
      : Option.match(Tenant.parse(given), {
          onNone: () => failWith(InvalidTenantId.from(given)),
          onSome: Effect.succeed
        })

  const list = Effect.fnUntraced(function* (query?: ChangeQuery) {
    const checked = yield* CheckedRequests.query(query)
    const tenant = yield* tenantOf(checked.tenant)
    // One more than is shown tells whether there is a next page.
    const found = yield* reading(store.changes(tenant, { ...checked, limit: checked.limit + 1 }))
    const shown = found.slice(0, checked.limit)
    return {
      changes: shown.map(({ records }) => changeOf(records)),
      next: found.length > shown.length || shown.at(-1)?.full ? shown.at(-1)!.position : undefined
    }
  }, enter)

  const ofKey = Effect.fnUntraced(function* (given: KeyName, page?: PageRequest) {
    const name = yield* CheckedRequests.name(given)
    const { before, limit } = yield* CheckedRequests.page(page)
    const found = yield* asked((tenant) => store.ofKey(tenant, name, { before, limit: limit + 1 }))
    const records = found.records.slice(0, limit)
    return { records, next: found.full || found.records.length > limit ? records.at(-1)!.id : undefined }
  })

  const recordsOf = Effect.fnUntraced(function* (tenant: TenantId, changeId: string) {
    const records = uuid.test(changeId) ? yield* reading(store.ofChange(tenant, changeId.toLowerCase())) : []
    return records.length > 0 ? records : yield* failWith(new UnknownChange({ tenant, changeId }))
  })

  const declared = (name: KeyName) => {
    const found = registry.find(name.namespace, name.key)
    return found === undefined ? failWith(unknownKey(name)) : Effect.succeed(found)
  }

  /** What a conflict is about: who changed the entry last, and in what it differs now. */
  const explain = Effect.fnUntraced(function* (
    tenant: TenantId,
    { actual, expected, key, namespace }: Pick<RevisionConflict, "actual" | "expected" | "key" | "namespace">
  ) {
    const name = { namespace, key }
    const [newest] = (yield* store.ofKey(tenant, name, { before: undefined, limit: 1 })).records
    const before = expected === 0 ? undefined : yield* store.ofRevision(tenant, name, expected)
    const shown = newest?.redacted === false && before?.redacted !== true
    const conflict: Conflict = {
      ...name,
      expected,
      actual,
      ...(newest === undefined ? {} : { changedBy: newest.changedBy, changedAt: newest.changedAt }),
      ...(newest?.changeId === undefined ? {} : { changeId: newest.changeId }),
      diff: shown ? ConfigDiff.diff(before?.value, newest.value) : []
    }
    return conflict
  })

  const write = (tenant: TenantId, request: WriteRequest.WriteRequest) =>
    Effect.catch(cache.write(tenant, request), ({ reason }) =>
      reason._tag === "RevisionConflict"
        ? Effect.flatMap(reading(explain(tenant, reason)), (conflict) =>
            failWith(new ChangedSince({ tenant, conflicts: [conflict] }))
          )
        : failWith(reason)
    ).pipe(
      Effect.map((entries) =>
        entries.map((entry, i): NamedEntry => {
          const { key, namespace } = request.writes[i]!.key
          return { ...entry, namespace, key }
        })
      )
    )

  const writtenTenant = Effect.tap(current, (tenant) => Effect.annotateCurrentSpan("tenant", tenant))

  const changeWith = (options: WriteRequest.WriteAllOptions, what: string) =>
    Effect.mapError(Effect.fromResult(WriteRequest.changeOf({ ...options, reason: options.reason ?? what })), ofConfig)

  const rollback = Effect.fnUntraced(function* (key: ConfigKey.Any, to: number, options: WriteRequest.WriteOptions) {
    const tenant = yield* writtenTenant
    const { ifRevision } = options
    if (ifRevision !== undefined) yield* CheckedRequests.revision("ifRevision", ifRevision)
    const change = yield* changeWith(options, to === 0 ? "rollback to the default" : `rollback to revision ${to}`)
    let json: string | undefined
    if (to > 0) {
      const record = yield* reading(store.ofRevision(tenant, key, to))
      if (record === undefined) return yield* failWith(new UnknownRevision({ tenant, ...nameOf(key), revision: to }))
      json = yield* textOf(tenant, [{ key, revision: to, redacted: record.redacted, value: record.value }]).pipe(
        Effect.map(([text]) => text)
      )
    }
    const [entry] = yield* write(tenant, { writes: [{ key, json, ifRevision }], change })
    return entry!
  })

  const revert = Effect.fnUntraced(function* (changeId: string, options: WriteRequest.WriteAllOptions) {
    const tenant = yield* writtenTenant
    const change = yield* changeWith(options, `revert of change ${changeId}`)
    const spans = spansOf(yield* recordsOf(tenant, changeId))
    const keys = yield* Effect.forEach(spans, ({ first }) => declared(first))

    // All conflicts are named at once; what changes between this look and the write is refused by the guards.
    const conflicts: Array<Conflict> = []
    for (const { last } of spans) {
      const [newest] = (yield* asked((tenant) => store.ofKey(tenant, last, { before: undefined, limit: 1 }))).records
      // This very change may have taken effect before, as when its answer was lost: then writing it again tells.
      if (newest === undefined || newest.id === last.id || newest.changeId === change.id) continue
      const conflict = { ...nameOf(last), expected: revisionAfter(last), actual: revisionAfter(newest) }
      conflicts.push(yield* reading(explain(tenant, conflict)))
    }
    if (conflicts.length > 0) return yield* failWith(new ChangedSince({ tenant, conflicts }))

    const texts = yield* textOf(
      tenant,
      spans.map(({ first }, i) => ({
        key: keys[i]!,
        revision: first.previousRevision ?? 0,
        redacted: first.redacted,
        value: first.previousValue
      }))
    )
    const writes = spans.map(({ last }, i) => ({ key: keys[i]!, json: texts[i], ifRevision: revisionAfter(last) }))
    return yield* write(tenant, { writes, change })
  })

  const since = (cursor: string | undefined): Stream.Stream<HistoryEvent, ChangeHistoryError> =>
    Stream.unwrap(
      Effect.map(current, (tenant) =>
        Stream.paginate(cursor, (at: string | undefined) =>
          Effect.gen(function* () {
            const delta = yield* enter(reading(store.since(tenant, at)))
            const events: Array<HistoryEvent> = delta.reset ? [{ _tag: "Reset", cursor: delta.cursor }] : []
            const changes = group(delta.records)
            for (const [i, change] of changes.entries()) {
              // Only after the last one is everything before it known: a stream that is cut earlier asks for all of
              // them again.
              const place = i === changes.length - 1 || at === undefined ? delta.cursor : at
              events.push({ _tag: "Change", change, cursor: place })
            }
            if (events.length === 0) yield* Effect.sleep(historyPollInterval)
            return [events, Option.some<string | undefined>(delta.cursor)] as const
          })
        )
      )
    )

  return ChangeHistory.of({
    list,
    ofKey,
    get: (given) =>
      enter(
        Effect.flatMap(current, (tenant) =>
          Effect.map(recordsOf(tenant, CheckedRequests.shownChangeId(given)), changeOf)
        )
      ),
    at: (moment) =>
      Effect.flatMap(CheckedRequests.moment(moment), (millis) => asked((tenant) => store.at(tenant, millis))),
    since,
    rollback: (given, givenOptions) =>
      enter(
        Effect.gen(function* () {
          const key = yield* Effect.flatMap(CheckedRequests.name(given), declared)
          const options = yield* optionsOf(givenOptions)
          const to = yield* CheckedRequests.target(givenOptions)
          return yield* rollback(key, to, options).pipe(
            Redaction.withSpan("ChangeHistory.rollback", {
              ...nameOf(key),
              to,
              actor: WriteRequest.shownActor(options)
            })
          )
        })
      ),
    revert: (given, givenOptions) =>
      enter(
        Effect.gen(function* () {
          const changeId = CheckedRequests.shownChangeId(given)
          const options = yield* optionsOf(givenOptions)
          return yield* revert(changeId, options).pipe(
            Redaction.withSpan("ChangeHistory.revert", { changeId, actor: WriteRequest.shownActor(options) })
          )
        })
      ),
    verify: asked(store.verify),
    purge: (retention) =>
      Effect.flatMap(CheckedRequests.retention(retention), (retention) =>
        asked((tenant) => store.purge(tenant, retention))
      )
  })
})

const optionsOf = (given: unknown) => Effect.mapError(Effect.fromResult(WriteRequest.optionsOf(given)), ofConfig)

export const layer = (options: StoredChangeHistoryOptions) => Layer.effect(ChangeHistory, make(options))

/** The revision that readers see after a record. */
const revisionAfter = (record: ChangeRecord) => (record.operation === "delete" ? 0 : record.revision)
