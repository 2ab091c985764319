/**
 * Why a table of ours cannot be served, whatever is made beside it, as SQL: it is none, it is partitioned or inherits,
 * rewrite rules swallow statements on it, row level security hides its rows, or another role's code runs on it with the
 * owner's rights.
 *
 * `verify` and `ensure` refuse such a table in words, and the script does before it changes anything: a sequence that
 * is set by rows of which some are hidden would go back. Rows may be hidden from the role that asks, or by `FORCE ROW
 * LEVEL SECURITY` from the owner, whose rights the functions have.
 */
import * as DdlHistory from "./DdlHistory.ts"
import * as DdlKeys from "./DdlKeys.ts"

/** The problems, in the order in which one hides the next. */
export const problems = ["NotATable", "Partitioned", "HasRules", "RowsHidden", "ForeignCode"] as const

const tables = ["systemplane_entries", "systemplane_history", "systemplane_keys", "systemplane_processes"]

const inherits = "EXISTS (SELECT FROM pg_inherits AS i WHERE c.oid IN (i.inhparent, i.inhrelid))"

const hasRules = "EXISTS (SELECT FROM pg_rewrite AS w WHERE w.ev_class = c.oid AND w.ev_enabled <> 'D')"

const hidesFromOwner =
  "c.relforcerowsecurity AND NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.oid = c.relowner AND (r.rolsuper OR r.rolbypassrls))"

// A process that may not read the history does without it. Which keys are secret is only looked up by the owner.
const hidesFromRole = `pg_catalog.row_security_active(c.oid) AND c.relname <> 'systemplane_keys'
        AND (c.relname = 'systemplane_entries' OR pg_catalog.has_table_privilege(c.oid, 'SELECT'))`

/** Functions that `ensure` makes anew if they belong to another role. */
const ours = [...DdlHistory.functions, ...DdlKeys.functions].map(({ name }) => name)

// The functions of ours write to these tables with the rights of the owner, and so runs whatever is on them: a trigger,
// or what the role that made the table gave its columns. On the entries it runs with the rights of the writer.
const isTrusted = (owner: string, namespace: string) => `(
        ${owner} = pg_catalog.quote_ident(current_user)::regrole::oid
        OR EXISTS (SELECT FROM pg_roles AS r WHERE r.oid = ${owner} AND r.rolsuper)
        OR EXISTS (
          SELECT FROM pg_class AS e
          WHERE e.relnamespace = ${namespace} AND e.relname = 'systemplane_entries' AND e.relowner = ${owner}
        )
      )`

const runsForeignCode = (namespace: string) => `c.relname <> 'systemplane_entries' AND (
        NOT ${isTrusted("c.relowner", namespace)}
        OR EXISTS (
          SELECT FROM pg_trigger AS g JOIN pg_proc AS p ON p.oid = g.tgfoid
          WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND NOT ${isTrusted("p.proowner", namespace)}
            AND NOT (p.pronamespace = c.relnamespace AND p.proname IN (${ours.map((name) => `'${name}'`).join(", ")}))
        )
      )`

/** Rows of `name` and `problem`, for the tables of the schema with this object identifier. */
export const inNamespace = (namespace: string): string => `
    SELECT u.name, u.problem FROM (
      SELECT c.relname::text AS name, CASE
        WHEN c.relkind NOT IN ('r', 'p') THEN 'NotATable'
        WHEN c.relkind = 'p' OR ${inherits} THEN 'Partitioned'
        WHEN ${hasRules} THEN 'HasRules'
        WHEN c.relrowsecurity AND c.relname <> 'systemplane_processes' AND (${hidesFromOwner} OR ${hidesFromRole}) THEN 'RowsHidden'
        WHEN ${runsForeignCode(namespace)} THEN 'ForeignCode'
      END AS problem
      FROM pg_class AS c
      WHERE c.relnamespace = ${namespace} AND c.relname IN (${tables.map((name) => `'${name}'`).join(", ")})
    ) AS u
    WHERE u.problem IS NOT NULL`
