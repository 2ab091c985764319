/**
 * What a run-time role is granted, object by object: `Ddl.grants` makes one statement of it, the package's `grants.sql`
 * plain ones.
 */

export interface Grant {
  /** The object as `to_regclass` and `to_regprocedure` take it, without its schema. */
  readonly object: string
  readonly isFunction: boolean
  /** The statement but for the role at its end; `{schema}` stands for the object's schema. */
  readonly statement: string
}

const onTable = (rights: string, object: string): Grant => ({
  object,
  isFunction: false,
  statement: `GRANT ${rights} ON {schema}.${object} TO`
})

const readAndWrite = "SELECT, INSERT, UPDATE, DELETE"

/** What serving and writing values needs, and reading the history. */
export const runtime: ReadonlyArray<Grant> = [
  onTable(readAndWrite, "systemplane_entries"),
  onTable(readAndWrite, "systemplane_keys"),
  onTable(readAndWrite, "systemplane_processes"),
  onTable("SELECT", "systemplane_history"),
  onTable("SELECT", "systemplane_recent_changes")
]

/** What removing old records needs as well. */
export const purge: Grant = {
  object: "systemplane_history_purge(integer,integer)",
  isFunction: true,
  statement: "GRANT EXECUTE ON FUNCTION {schema}.systemplane_history_purge(integer, integer) TO"
}
