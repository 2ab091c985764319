/**
 * The statements that prepare a tenant's database, for a migration pipeline.
 *
 * @since 0.1.0
 */
export * from "./schema/ddl/Ddl.ts"
