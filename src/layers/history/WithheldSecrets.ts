/**
 * A history without the values of the keys that this process declares as secrets.
 *
 * The database withholds the values of a secret once its catalogue says that the key is one. It does not say so while
 * the role may not declare keys, nor on a database that nothing prepares: then records may hold values, and here they
 * are left out.
 */
import * as Effect from "effect/Effect"
import type { KeyName } from "../../schema/KeyName.ts"
import type { HistoryStore } from "../../services/HistoryStore.ts"
import type { KeyRegistry } from "../../services/KeyRegistry.ts"

type Store = HistoryStore["Service"]

interface Recorded extends KeyName {
  readonly redacted: boolean
  readonly value?: unknown
  readonly previousValue?: unknown
}

/** What people ask of a history. What was in force before a bad row is asked of the store itself. */
export const make = (store: Store, registry: Pick<KeyRegistry["Service"], "find">): Omit<Store, "recall"> => {
  const withheld = <R extends Recorded>(record: R): R => {
    if (record.redacted || registry.find(record.namespace, record.key)?.secret !== true) return record
    const { previousValue: _before, value: _after, ...rest } = record
    return { ...(rest as R), redacted: true }
  }

  return {
    ...store,
    changes: (tenant, query) =>
      Effect.map(store.changes(tenant, query), (changes) =>
        changes.map((change) => ({ ...change, records: change.records.map(withheld) }))
      ),
    ofKey: (tenant, key, page) =>
      Effect.map(store.ofKey(tenant, key, page), (found) => ({ ...found, records: found.records.map(withheld) })),
    ofRevision: (tenant, key, revision) =>
      Effect.map(store.ofRevision(tenant, key, revision), (record) => record && withheld(record)),
    ofChange: (tenant, changeId) => Effect.map(store.ofChange(tenant, changeId), (records) => records.map(withheld)),
    at: (tenant, moment) => Effect.map(store.at(tenant, moment), (entries) => entries.map(withheld)),
    since: (tenant, cursor) =>
      Effect.map(store.since(tenant, cursor), (delta) => ({ ...delta, records: delta.records.map(withheld) }))
  }
}
