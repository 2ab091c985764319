/**
 * A `pg` client that listens and does the least that keeps a map current: re-reads the row that changed, and stores it.
 */
import { Effect, type Redacted } from "effect"
import { connect } from "../Databases.ts"

export interface BareListener {
  readonly values: ReadonlyMap<string, unknown>
  /** Notifications heard so far. */
  readonly heard: () => number
}

const select = {
  name: "read",
  text: "SELECT value, revision, updated_at, updated_by FROM systemplane_entries WHERE namespace = $1 AND key = $2"
}

const selectAll = {
  name: "read all",
  text: "SELECT namespace, key, value, revision, updated_at, updated_by FROM systemplane_entries"
}

/**
 * Listens from when it returns. `"store"`: re-reads the row that changed; `"store all"`: all rows, and so knows that
 * nothing else changed. `"count"`: reads nothing, and does not even look at the payload.
 */
export const listen = Effect.fnUntraced(function* (url: Redacted.Redacted, what: "store" | "store all" | "count") {
  const client = yield* connect(url)
  const values = new Map<string, unknown>()
  let heard = 0
  client.on("notification", ({ payload }) => {
    heard++
    if (what === "count") return
    if (what === "store all") {
      void client.query(selectAll).then(({ rows }) => {
        for (const row of rows) values.set(`${row.namespace}/${row.key}`, row.value)
      })
      return
    }
    const { key, namespace } = JSON.parse(payload ?? "")
    void client.query({ ...select, values: [namespace, key] }).then(({ rows }) => {
      values.set(`${namespace}/${key}`, rows[0].value)
    })
  })
  yield* Effect.promise(() => client.query("LISTEN systemplane_changes"))
  const listener: BareListener = { values, heard: () => heard }
  return listener
})
