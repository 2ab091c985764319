/**
 * Why a tenant's database is not ready to be used.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { subject } from "./ConnectorError.ts"
import { type EntryStoreError, EntryStoreErrorReason } from "./EntryStoreError.ts"
import { TenantId } from "./TenantId.ts"

const fields = {
  /** What is missing or outdated, as PostgreSQL names it. */
  parts: Schema.Array(Schema.String),
  /** The SQL that mends it; to be run by the owner of the schema. */
  sql: Schema.String,
  /** What kept the role from running it, if it was tried. */
  denied: Schema.optionalKey(Schema.String)
}

/** The SQL stands in the message unless the role tried it: then a right is what it lacks first. */
const remedy = ({ denied, sql }: { readonly denied?: string; readonly sql: string }): string =>
  denied === undefined
    ? `; run this as the owner of the schema:\n${sql}`
    : `, and could not be prepared: ${denied}. Grant that, or run Ddl.sql as the owner and Ddl.grants(role) after it`

/** The table is not there. */
export class SchemaMissing extends Schema.TaggedError<SchemaMissing>()("SchemaMissing", fields) {
  override get message() {
    return `the schema is missing (${this.parts.join(", ")})${remedy(this)}`
  }
}

/** The table is there, but something beside it is missing or outdated. */
export class SchemaOutdated extends Schema.TaggedError<SchemaOutdated>()("SchemaOutdated", fields) {
  override get message() {
    return `the schema is outdated (${this.parts.join(", ")})${remedy(this)}`
  }
}

/** The role may not use the tables. `sql` grants what it lacks. */
export class PermissionDenied extends Schema.TaggedError<PermissionDenied>()("PermissionDenied", {
  sql: Schema.String
}) {
  override get message() {
    return "the role may not use the tables; as their owner, run the file sql/grants.sql of this package (psql -v role=…), or the SQL that this error carries"
  }
}

const problems = {
  NotATable: (table: string) =>
    `${table} is not a table but a view or a foreign table, which may lose rows; rename it, or put the table's schema first in the search_path`,
  Partitioned: (table: string) =>
    `${table} is partitioned or inherits, and the triggers of the plane cannot serve it; put a plain table with its rows in its place`,
  ColumnsLost: (table: string) =>
    `${table} lacks columns, or has them with another type, and its rows cannot be brought over; restore it, or mend its columns by hand as Ddl.sql makes them`,
  HasRules: (table: string) =>
    `${table} has rewrite rules, which swallow or change statements; run as the owner of the table: DROP RULE … ON ${table}`,
  ForeignCode: (table: string) =>
    `${table} belongs to another role than systemplane_entries, or has a trigger with another role's function, which would run with the owner's rights; look at it, and drop it, or as a superuser: ALTER TABLE ${table} OWNER TO the owner of systemplane_entries, then Ddl.sql`,
  ManyTenants: (table: string) =>
    `${table} has a column tenant_id, hence the entries of many tenants; give each tenant a database of its own`,
  RowsHidden: (table: string) =>
    `row level security hides rows of ${table} from this role or from the owner; run as the owner of the table: ALTER TABLE ${table} DISABLE ROW LEVEL SECURITY, or give the role BYPASSRLS`,
  NoSchema: (table: string) =>
    `no schema of the search_path exists, or the role may use none, or the first is pg_catalog, so that there is no place for ${table}; set search_path for the role or the database, or GRANT USAGE ON SCHEMA`
} as const

/** A table cannot be served, whatever is made beside it. */
export class TableUnsuitable extends Schema.TaggedError<TableUnsuitable>()("TableUnsuitable", {
  problem: Schema.Literals([
    "NotATable",
    "Partitioned",
    "ColumnsLost",
    "HasRules",
    "ForeignCode",
    "ManyTenants",
    "RowsHidden",
    "NoSchema"
  ]),
  /** The table, if it is not `systemplane_entries`. */
  table: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    return problems[this.problem](this.table ?? "systemplane_entries")
  }
}

/** @category errors */
export const SchemaBootstrapErrorReason = Schema.Union([
  SchemaMissing,
  SchemaOutdated,
  PermissionDenied,
  TableUnsuitable,
  ...EntryStoreErrorReason.members
])

/** @category errors */
export type SchemaBootstrapErrorReason = typeof SchemaBootstrapErrorReason.Type

/**
 * A tenant's database could not be prepared: what is missing and the SQL that mends it, or why it could not be asked.
 * The classes of its own reasons are its members: `SchemaBootstrapError.SchemaMissing`.
 *
 * @category errors
 * @since 0.1.0
 */
export class SchemaBootstrapError extends Schema.TaggedError<SchemaBootstrapError>()("SchemaBootstrapError", {
  tenant: TenantId,
  /** `host:port/database`; absent if it is not known. */
  address: Schema.optionalKey(Schema.String),
  reason: SchemaBootstrapErrorReason
}) {
  static readonly SchemaMissing = SchemaMissing
  static readonly SchemaOutdated = SchemaOutdated
  static readonly PermissionDenied = PermissionDenied
  static readonly TableUnsuitable = TableUnsuitable

  /** The error of a tenant for this reason. */
  static of(tenant: TenantId, reason: SchemaBootstrapErrorReason, address?: string | undefined): SchemaBootstrapError {
    return new SchemaBootstrapError({ tenant, reason, ...(address === undefined ? {} : { address }) })
  }
  /** The same reason, as an error of the bootstrap. */
  static from({ address, reason, tenant }: EntryStoreError): SchemaBootstrapError {
    return SchemaBootstrapError.of(tenant, reason, address)
  }
  override get message() {
    return `${subject(this, this.reason)}: ${this.reason.message}`
  }
}

/** The types of the reasons. */
export declare namespace SchemaBootstrapError {
  type SchemaMissing = InstanceType<typeof SchemaBootstrapError.SchemaMissing>
  type SchemaOutdated = InstanceType<typeof SchemaBootstrapError.SchemaOutdated>
  type PermissionDenied = InstanceType<typeof SchemaBootstrapError.PermissionDenied>
  type TableUnsuitable = InstanceType<typeof SchemaBootstrapError.TableUnsuitable>
}
