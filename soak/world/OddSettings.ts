/**
 * Settings of the server that change how values are written, read, compared or refused, as an administrator may have
 * set them for a role. Each tenant has one set of them, for the planes alone: what the soak itself reads stays
 * readable.
 */

const sets: ReadonlyArray<Readonly<Record<string, string>>> = [
  {},
  { array_nulls: "off", standard_conforming_strings: "off", transform_null_equals: "on", bytea_output: "escape" },
  { default_transaction_isolation: "serializable", default_transaction_deferrable: "on" },
  { default_transaction_isolation: "repeatable read", idle_session_timeout: "1s", lock_timeout: "700ms" },
  { datestyle: "German, DMY", intervalstyle: "sql_standard", timezone: "Asia/Kathmandu", extra_float_digits: "-15" },
  { plan_cache_mode: "force_custom_plan", enable_indexscan: "off", enable_bitmapscan: "off", jit_above_cost: "0" },
  { row_security: "off", quote_all_identifiers: "on", xmloption: "document", statement_timeout: "8s" },
  { client_min_messages: "debug1", application_name: "renamed", idle_in_transaction_session_timeout: "1s" }
]

/** Sets the settings of the tenant with this number for the roles of the planes. */
export const statements = (index: number, database: string, roles: ReadonlyArray<string>): ReadonlyArray<string> =>
  roles.flatMap((role) =>
    Object.entries(sets[index % sets.length]!).map(
      ([name, value]) => `ALTER ROLE "${role}" IN DATABASE "${database}" SET ${name} = '${value}'`
    )
  )
