/**
 * What the catalogue says about a trigger, as SQL: when it fires, on which condition, and whether the function of
 * another service can do what its trigger is for.
 *
 * `verify`, the fast check and the script that mends all compare these. None of them takes a lock on the trigger's
 * table, as deparsing a condition on rows would: such a condition is recognised by its parse tree. The expressions hold
 * no backslash, so that they mean the same whatever `standard_conforming_strings` says.
 */

/** The row of `pg_trigger` as `tgtype`, or -1 if it fires at the end of a transaction. */
export const typeOf = (trigger: string): string =>
  `CASE WHEN ${trigger}.tgdeferrable THEN -1 ELSE ${trigger}.tgtype END`

/** The columns that an update has to name for it to fire: the empty text if it fires for all. */
export const columnsOf = (trigger: string): string => `coalesce((
      SELECT pg_catalog.string_agg(a.attname::text, ',' ORDER BY a.attnum) FROM pg_attribute AS a
      WHERE a.attrelid = ${trigger}.tgrelid AND a.attnum = ANY (${trigger}.tgattr::smallint[])
    ), '')`

/** The names of its transition tables: `old/new`. */
export const tablesOf = (trigger: string): string =>
  `pg_catalog.concat(${trigger}.tgoldtable, '/', ${trigger}.tgnewtable)`

/** Which older versions and other services leave updates out that change nothing. */
export const rowDiffers = "old IS DISTINCT FROM new"

const treeOfRowDiffers =
  "^[{]DISTINCTEXPR :opno 2988 [^{}]*[{]VAR :varno 1 :varattno 0 [^{}]*[}] [{]VAR :varno 2 :varattno 0 [^{}]*[}][^{}]*[}]$"

/** Its `WHEN`: the empty text if there is none. Of those that look at rows, only {@link rowDiffers} is told apart. */
export const conditionOf = (trigger: string): string => `CASE
      WHEN ${trigger}.tgqual IS NULL THEN ''
      WHEN pg_catalog.strpos(${trigger}.tgqual::text, '{VAR ') = 0
        THEN pg_catalog.replace(pg_catalog.pg_get_expr(${trigger}.tgqual, 0::oid), 'pg_catalog.', '')
      WHEN ${trigger}.tgqual::text OPERATOR(pg_catalog.~) '${treeOfRowDiffers}' THEN '${rowDiffers}'
      ELSE 'another condition on the row'
    END`

/** What a setting is compared with, as SQL, and as {@link conditionOf} shows it. */
export const settingIsOn = (name: string) => ({
  sql: `pg_catalog.current_setting('systemplane.${name}', true) IS NOT DISTINCT FROM 'on'`,
  shown: `(NOT (current_setting('systemplane.${name}'::text, true) IS DISTINCT FROM 'on'::text))`
})

export const settingIsNotOn = (name: string) => ({
  sql: `pg_catalog.current_setting('systemplane.${name}', true) IS DISTINCT FROM 'on'`,
  shown: `(current_setting('systemplane.${name}'::text, true) IS DISTINCT FROM 'on'::text)`
})

/** What a function of another service must do to be left in the place of ours. */
interface Deed {
  readonly function: string
  /** Words that its body must hold, outside of comments. */
  readonly words: ReadonlyArray<string>
}

const deeds: ReadonlyArray<Deed> = [
  { function: "systemplane_bump_revision_v4", words: ["nextval[[:space:]]*[(]", "systemplane_revision_seq"] },
  {
    function: "systemplane_notify_v4",
    words: ["pg_notify[[:space:]]*[(]", "tg_argv|systemplane_changes", "namespace", "key"]
  }
]

const withoutComments = (fn: string): string =>
  `pg_catalog.regexp_replace(pg_catalog.regexp_replace(${fn}.prosrc, '--.*$', '', 'gn'), '/[*].*?[*]/', '', 'g')`

/**
 * Whether the body of another service's function can do what it is named for. It cannot be known to: what is found is
 * a body that does something else, or returns first. Other functions are not looked at here.
 */
export const canDoItsPart = (fn: string): string => `CASE ${fn}.proname
${deeds
  .map(
    (deed) => `      WHEN '${deed.function}' THEN (
        SELECT ${deed.words.map((word) => `b.body OPERATOR(pg_catalog.~*) '${word}'`).join(" AND ")}
          AND b.body OPERATOR(pg_catalog.!~*) 'begin[[:space:]]+return'
        FROM (SELECT ${withoutComments(fn)} AS body OFFSET 0) AS b
      )`
  )
  .join("\n")}
      ELSE true
    END`
