/**
 * Why a tenant's database is not ready to be used.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { EntryStoreErrorReason } from "./EntryStoreError.ts"
import { TenantId } from "./TenantId.ts"

const fields = {
  /** What is missing or outdated, as PostgreSQL names it. */
  parts: Schema.Array(Schema.String),
  /** The SQL that mends it; to be run by the owner of the schema. */
  sql: Schema.String
}

/** The table is not there. */
export class SchemaMissing extends Schema.TaggedError<SchemaMissing>()("SchemaMissing", fields) {
  override get message() {
    return `the schema is missing (${this.parts.join(", ")}); run this as the owner of the schema:\n${this.sql}`
  }
}

/** The table is there, but something beside it is missing or outdated. */
export class SchemaOutdated extends Schema.TaggedError<SchemaOutdated>()("SchemaOutdated", fields) {
  override get message() {
    return `the schema is outdated (${this.parts.join(", ")}); run this as the owner of the schema:\n${this.sql}`
  }
}

/** The role may not use the tables. */
export class PermissionDenied extends Schema.TaggedError<PermissionDenied>()("PermissionDenied", {
  sql: Schema.String
}) {
  override get message() {
    return `the role may not use the tables; run this as their owner:\n${this.sql}`
  }
}

const problems = {
  NotATable:
    "systemplane_entries is no table but a view or a foreign table, which may lose rows; rename it, or put the table's schema first in the search_path",
  ManyTenants:
    "systemplane_entries has a column tenant_id, hence the entries of many tenants; give each tenant a database or a schema of its own",
  RowsHidden:
    "row level security hides rows of systemplane_entries from this role; run as the owner of the table: ALTER TABLE systemplane_entries DISABLE ROW LEVEL SECURITY, or give the role BYPASSRLS"
} as const

/** The table cannot be served, whatever is made beside it. */
export class TableUnsuitable extends Schema.TaggedError<TableUnsuitable>()("TableUnsuitable", {
  problem: Schema.Literals(["NotATable", "ManyTenants", "RowsHidden"])
}) {
  override get message() {
    return problems[this.problem]
  }
}

/** The database could not be asked, or refused a statement. */
export class BootstrapFailed extends Schema.TaggedError<BootstrapFailed>()("BootstrapFailed", {
  cause: EntryStoreErrorReason
}) {
  override get message() {
    return this.cause.message
  }
}

/** @category errors */
export const SchemaBootstrapErrorReason = Schema.Union([
  SchemaMissing,
  SchemaOutdated,
  PermissionDenied,
  TableUnsuitable,
  BootstrapFailed
])

/** @category errors */
export type SchemaBootstrapErrorReason = typeof SchemaBootstrapErrorReason.Type

/**
 * A tenant's database could not be prepared: what is missing, and the SQL that mends it.
 *
 * @category errors
 * @since 0.1.0
 */
export class SchemaBootstrapError extends Schema.TaggedError<SchemaBootstrapError>()("SchemaBootstrapError", {
  tenant: TenantId,
  reason: SchemaBootstrapErrorReason
}) {
  override get message() {
    return `Tenant ${this.tenant}: ${this.reason.message}`
  }
}
