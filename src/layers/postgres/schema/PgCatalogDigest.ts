/**
 * Digests of what the catalogue of a tenant's database says about the objects of the plane.
 *
 * To read all facts (PgCatalog) takes the server longer than everything else that an activation asks. They follow from
 * few rows of the catalogue, which are read as they are: `digest` is a hash of those rows, with names in the place of
 * the numbers that differ from database to database. Two databases with one digest have the same facts. There is no
 * digest if rows that are not read would count too: a role's attributes, types and collations of the database's own,
 * rules, children. `glimpse` is cheaper still, and tells whether one database is as it was.
 */
import * as Ddl from "../../../schema/ddl/Ddl.ts"
import { isPlain } from "../../../schema/ddl/DdlObjects.ts"
import * as DdlSequence from "../../../schema/ddl/DdlSequence.ts"
import * as DdlTriggers from "../../../schema/ddl/DdlTriggers.ts"
import * as Utf8 from "../../../schema/Utf8.ts"

/** Whether the role may do with a table what a process that writes does. */
export const permittedOn = (table: string) =>
  ["SELECT", "INSERT", "UPDATE", "DELETE"]
    .map((right) => `pg_catalog.has_table_privilege(${table}, '${right}')`)
    .join(" AND ")

export const aheadOf = (sequence: string) =>
  DdlSequence.isAhead(sequence, DdlSequence.highestOfEntries("systemplane_entries"))

const tables = ["history", "keys", "processes"].map(
  (table) => `pg_catalog.to_regclass(n.schema || '.systemplane_${table}')::oid AS ${table}`
)

/** Where the table is, or would be made; and the tables beside it. */
export const place = `(
    SELECT r.oid, coalesce(c.relnamespace, pg_catalog.to_regnamespace(pg_catalog.quote_ident(current_schema()))::oid) AS namespace,
      coalesce(n.schema, pg_catalog.quote_ident(current_schema())) AS schema,
      coalesce(c.relowner, pg_catalog.quote_ident(current_user)::regrole::oid) AS owner, ${tables.join(", ")}
    FROM (SELECT pg_catalog.to_regclass('systemplane_entries')::oid) AS r (oid)
    LEFT JOIN pg_class AS c ON c.oid = r.oid,
    LATERAL (SELECT (pg_catalog.pg_identify_object('pg_class'::regclass, r.oid, 0)).schema) AS n
    OFFSET 0
  ) AS t`

// A function is named with its schema, and an operator that takes any type, here and in all statements of this folder:
// one in `public` that names the very types would match better. (`unnest` of several arrays is no call, but syntax.)
const listOf = (row: ReadonlyArray<string>, order: string) =>
  `pg_catalog.string_agg(ROW(${row.join(", ")})::text, ',' ORDER BY ${order})`

/** The relations that facts are compared for, and the name that a sequence of ids is found by. */
const relations = [
  ...Ddl.objects(true).flatMap((object) => (object.kind === "relation" ? [object.relation] : [])),
  "systemplane_history_id_seq"
]

/** Whether no role but its owner may put a trigger on the relation. */
export const isGuarded = (relation: string) => `NOT EXISTS (
        SELECT FROM pg_catalog.aclexplode(${relation}.relacl) AS a
        WHERE a.privilege_type = 'TRIGGER' AND a.grantee <> ${relation}.relowner
      )`

// What row level security does follows from the owner's attributes if it is forced, and from the role's rights. A flag
// of rules or children may be left over from those that were dropped.
const relationRows = `
    SELECT CASE WHEN pg_catalog.bool_and(c.relkind <> 'r' OR NOT (
      c.relhasrules OR c.relhassubclass OR c.relforcerowsecurity OR c.relowner <> t.owner
    )) THEN ${listOf(
      [
        "c.relname",
        "c.relkind",
        "c.relpersistence",
        "c.relowner = t.owner",
        isGuarded("c"),
        "CASE WHEN c.relrowsecurity THEN ROW(pg_catalog.row_security_active(c.oid), pg_catalog.has_table_privilege(c.oid, 'SELECT'))::text END"
      ],
      "c.relname"
    )} END
    FROM pg_class AS c
    WHERE c.relnamespace = t.namespace AND c.relname IN (${relations.map((name) => `'${name}'`).join(", ")})`

// The numbers of the server's own types are below 10,000 in each version, and its own collations are deterministic.
const columnRows = `
    SELECT CASE WHEN pg_catalog.bool_and(a.atttypid < 10000::oid AND a.attcollation < 16384::oid) THEN ${listOf(
      ["a.attrelid = t.oid", "a.attnum", "a.attname", "a.atttypid", "a.atthasdef", "a.attidentity"],
      "a.attrelid = t.oid, a.attnum"
    )} END
    FROM pg_attribute AS a
    WHERE a.attrelid IN (t.oid, t.history) AND a.attnum > 0 AND NOT a.attisdropped`

const indexRows = `
    SELECT coalesce(${listOf(
      [
        "i.indrelid = t.oid",
        "i.indkey",
        "i.indoption",
        "i.indnkeyatts",
        "i.indisunique",
        "i.indimmediate",
        "i.indisvalid",
        "i.indpred IS NULL",
        "i.indexprs IS NULL"
      ],
      "i.indexrelid"
    )}, '')
    FROM pg_index AS i WHERE i.indrelid IN (t.oid, t.history)`

const sequenceColumns = ["s.seqtypid", "s.seqincrement", "s.seqmin", "s.seqmax", "s.seqcache", "s.seqcycle"]

const revisionRow = `
    SELECT ROW(${sequenceColumns.join(", ")})::text FROM pg_sequence AS s
    WHERE s.seqrelid = pg_catalog.to_regclass(t.schema || '.systemplane_revision_seq')::oid`

const isOnHistory = "d.refclassid = 'pg_class'::regclass::oid AND d.refobjid = t.history"

const historySequenceRows = `
    SELECT coalesce(${listOf(["d.refobjsubid", "d.deptype", ...sequenceColumns], "d.refobjsubid, s.seqrelid")}, '')
    FROM pg_depend AS d JOIN pg_sequence AS s ON s.seqrelid = d.objid
    WHERE d.classid = 'pg_class'::regclass::oid AND ${isOnHistory}`

const viewReads = `
    SELECT CASE pg_catalog.bool_and(d.refobjid = t.history) WHEN true THEN 'history' WHEN false THEN NULL ELSE '' END
    FROM pg_rewrite AS w
    JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass::oid AND d.objid = w.oid
      AND d.refclassid = 'pg_class'::regclass::oid AND d.refobjid <> w.ev_class
    WHERE w.ev_class = pg_catalog.to_regclass(t.schema || '.systemplane_recent_changes')::oid`

const ofOurs = "IN (t.oid, t.history, t.keys, t.processes)"

// Each function is one of those below. On the entries other triggers may be, and run with the rights of the writer.
const triggerRows = `
    SELECT CASE WHEN pg_catalog.bool_and(
      p.pronamespace = t.namespace AND p.proname LIKE 'systemplane%' AND (g.tgrelid = t.oid OR p.proowner = t.owner)
    ) THEN ${listOf(
      [
        "g.tgrelid = t.oid",
        "g.tgrelid = t.history",
        "g.tgrelid = t.keys",
        "g.tgname",
        "g.tgtype",
        "g.tgdeferrable",
        "g.tgenabled",
        "g.tgattr",
        "g.tgoldtable",
        "g.tgnewtable",
        DdlTriggers.conditionOf("g"),
        "g.tgargs",
        "p.proname"
      ],
      "g.tgname, g.tgrelid"
    )} END
    FROM pg_trigger AS g JOIN pg_proc AS p ON p.oid = g.tgfoid
    WHERE g.tgrelid ${ofOurs} AND NOT g.tgisinternal AND (g.tgrelid <> t.oid OR g.tgname LIKE 'systemplane%')`

/** 2: everyone may execute it, 1: roles beside its owner may, 0: neither. */
export const executableByOthers = (fn: string) => `(
      SELECT coalesce(pg_catalog.max(CASE a.grantee WHEN 0::oid THEN 2 ELSE 1 END), 0)
      FROM pg_catalog.aclexplode(coalesce(${fn}.proacl, pg_catalog.acldefault('f', ${fn}.proowner))) AS a WHERE a.grantee <> ${fn}.proowner
    )`

const functionRows = `
    SELECT ${listOf(
      [
        "p.proname",
        "p.proargtypes",
        `pg_catalog.sha256(${Utf8.bytesOf("p.prosrc")})`,
        "p.prosecdef",
        "p.proconfig",
        isPlain("p"),
        "p.proowner = t.owner",
        executableByOthers("p")
      ],
      "p.proname, p.proargtypes"
    )}
    FROM pg_proc AS p WHERE p.pronamespace = t.namespace AND p.proname LIKE 'systemplane%'`

const inherits = `EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhrelid ${ofOurs})`

/** The digest of the facts about `t`, a row of `place`. NULL if it cannot be told what they are. */
export const digest = `(
  SELECT CASE WHEN d IS NOT NULL THEN pg_catalog.encode(pg_catalog.sha256(${Utf8.bytesOf("d::text")}), 'hex') END FROM (
  SELECT t.schema, (${relationRows}), (${columnRows}), (${indexRows}), coalesce((${revisionRow}), ''),
    (${historySequenceRows}), (${viewReads}), (${triggerRows}), (${functionRows}), ${inherits}
  OFFSET 0
  ) AS d)`

/**
 * The digest; and whether the role may use the table, and the sequence is ahead of its rows. Fails if there is no
 * table, or no column `revision`.
 */
export const glance = (seeded: string) => `
  SELECT t.schema, ${digest} AS digest, ${permittedOn("t.oid")} AS permitted,
    ${aheadOf("pg_catalog.to_regclass(t.schema || '.systemplane_revision_seq')")} AS ahead, ${seeded} AS seeded
  FROM ${place}
  WHERE t.oid IS NOT NULL`

const versionsOf = (catalog: string, place: string, where: string) =>
  `(SELECT pg_catalog.bit_xor(pg_catalog.hash_record_extended(ROW(c.xmin, ${place}), 0)) FROM ${catalog} AS c WHERE ${where})`

const oidOf = (relation: string) => `pg_catalog.to_regclass('${relation}')::oid`
const history = oidOf("systemplane_history")
const keys = oidOf("systemplane_keys")
const sequences = `${oidOf("systemplane_revision_seq")}, ${oidOf("systemplane_history_id_seq")}`

/**
 * The versions of the catalogue's rows about our objects, and what this role may do and see: equal as long as nothing
 * changes. That a table has rules or children its own row says of the first of them alone. Functions of strangers, who
 * may make some with our names, do not count. It costs less than half of the digest. Exported so that tests recognise it
 * by identity, too.
 */
export const glimpse = `
  SELECT pg_catalog.concat_ws('/', ${permittedOn("t.oid")}, pg_catalog.row_security_active(t.oid), pg_catalog.row_security_active(${history}),
    ${versionsOf("pg_class", "c.oid", `c.oid IN (t.oid, ${history}, ${keys}, ${sequences})`)},
    ${versionsOf("pg_attribute", "c.attnum", `c.attrelid IN (t.oid, ${history}) AND c.attnum > 0`)},
    ${versionsOf("pg_index", "c.indexrelid", `c.indrelid IN (t.oid, ${history})`)},
    ${versionsOf("pg_sequence", "c.seqrelid", `c.seqrelid IN (${sequences})`)},
    ${versionsOf("pg_rewrite", "c.oid", `c.ev_class IN (t.oid, ${history}, ${keys})`)},
    ${versionsOf("pg_inherits", "c.inhrelid, c.inhparent", `c.inhparent IN (t.oid, ${history}, ${keys}) OR c.inhrelid IN (t.oid, ${history}, ${keys})`)},
    ${versionsOf("pg_trigger", "c.oid", `c.tgrelid IN (t.oid, ${history}, ${keys})`)},
    ${versionsOf(
      "pg_proc",
      "c.oid",
      `c.pronamespace = t.namespace AND c.proname LIKE 'systemplane%'
      AND (c.proowner = t.owner OR c.oid IN (SELECT g.tgfoid FROM pg_trigger AS g WHERE g.tgrelid IN (t.oid, ${history}, ${keys})))`
    )}
  ) AS digest
  FROM (
    SELECT r.oid, e.relnamespace AS namespace, e.relowner AS owner
    FROM (SELECT ${oidOf("systemplane_entries")} AS oid) AS r LEFT JOIN pg_class AS e ON e.oid = r.oid OFFSET 0
  ) AS t`
