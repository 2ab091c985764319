/** The driver that the plane is built on, without the plane: a session that listens, and reads when it is told to. */
import { PgConnection } from "@effect/sql-pg"
import { Effect, type Redacted, Scope } from "effect"

/** A session of the driver that listens, as long as the scope. */
export const session = Effect.fnUntraced(function* (url: Redacted.Redacted) {
  const scope = yield* Effect.scope
  const connection = yield* PgConnection.make({ url, applicationName: "bare driver" })
  const session = yield* connection.pin
  yield* Scope.provide(session.listen("systemplane_changes"), scope)
  return {
    /** All rows, as the driver returns them. */
    selectAll: Effect.map(session.query(selectAll, []), ({ rows }) => rows as ReadonlyArray<Record<string, unknown>>),
    /** Whether the schema is there: the least that anybody would check. */
    check: session.query("SELECT to_regclass('systemplane_entries') IS NOT NULL AS present", [])
  }
})

const selectAll = "SELECT namespace, key, value, revision, updated_at, updated_by FROM systemplane_entries"
