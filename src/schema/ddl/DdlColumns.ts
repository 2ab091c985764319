/**
 * The columns of a table of ours: their types, and SQL that tells whether the table has them, and that makes or mends
 * them.
 *
 * The table may be one that another service made, or a person changed: a `revision` that ends at 2^31, or a `value`
 * without the operators of `jsonb`, lets writes fail later or at once. What is compared is the type beneath a domain.
 * Lengths are not looked at.
 */
import type { RuleObject } from "./DdlObjects.ts"

export interface Column {
  readonly name: string
  /** Its type as `format_type` shows it. */
  readonly type: string
  /** Other types that do as well. */
  readonly or?: ReadonlyArray<string>
  /** What else makes the column; `undefined` if it cannot be added here. */
  readonly definition: string | undefined
}

/**
 * The type beneath a domain of a column `a`, whose type is the row `t`. A collation under which different texts are
 * equal is part of it: two keys would share one row, and a reader that tells them apart would never see its own.
 */
export const typeOf = (type: string): string =>
  `pg_catalog.concat(pg_catalog.format_type(CASE ${type}.typtype WHEN 'd' THEN ${type}.typbasetype ELSE ${type}.oid END, NULL), (
    SELECT ' with the non-deterministic collation ' OPERATOR(pg_catalog.||) n.collname::text FROM pg_collation AS n
    WHERE n.oid = a.attcollation AND NOT n.collisdeterministic
  ))`

/** Whether the column may have the type. */
export const accepts = (column: Column, type: string): boolean =>
  column.type === type || column.or?.includes(type) === true

const literals = (texts: ReadonlyArray<string>) => texts.map((text) => `'${text}'`).join(", ")

/** The columns of other types than they should have. */
const mistyped = (relation: string, columns: ReadonlyArray<Column>): string => `
    SELECT a.attname, w.type
    FROM (VALUES ${columns.map(({ name, or = [], type }) => `('${name}', '${type}', ARRAY[${literals([type, ...or])}])`).join(", ")}) AS w (name, type, accepted)
    JOIN pg_attribute AS a
      ON a.attrelid = to_regclass('{schema:literal}.${relation}') AND a.attname = w.name AND NOT a.attisdropped
    JOIN pg_type AS t ON t.oid = a.atttypid
    WHERE ${typeOf("t")} <> ALL (w.accepted)`

/** Whether the table has this column. */
export const hasColumn = (relation: string, column: string, also = ""): string => `EXISTS (
    SELECT FROM pg_attribute AS a
    WHERE a.attrelid = to_regclass('{schema:literal}.${relation}') AND a.attname = '${column}' AND NOT a.attisdropped${also}
  )`

/**
 * What the lost columns held is lost. A table with rows and without a column that has no default is refused by the
 * server, as is a value that the right type does not have.
 */
export const rule = (relation: string, columns: ReadonlyArray<Column>): RuleObject => {
  const addable = columns.filter(({ definition }) => definition !== undefined)
  return {
    kind: "rule",
    name: `columns of ${relation}`,
    holds: [
      ...addable.map(({ name }) => hasColumn(relation, name)),
      `NOT EXISTS (${mistyped(relation, columns)}\n  )`
    ].join("\n  AND "),
    mend: [
      `ALTER TABLE {schema}.${relation} ${addable
        .map(({ definition, name, type }) => `ADD COLUMN IF NOT EXISTS ${name} ${type}${definition}`)
        .join(", ")}`,
      `DO $columns$
DECLARE
  wrong record;
BEGIN
  FOR wrong IN ${mistyped(relation, columns)}
  LOOP
    EXECUTE format('ALTER TABLE {schema:literal}.${relation} ALTER COLUMN %I TYPE %s USING %1$I::%2$s', wrong.attname, wrong.type);
  END LOOP;
END $columns$`
    ]
  }
}
