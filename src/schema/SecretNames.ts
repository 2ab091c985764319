/**
 * The names of secrets as a writer tells them to the triggers of the history, in the setting `systemplane.secret` of
 * its transaction: so that a value is kept from the record also before the key is declared in the database.
 *
 * A setting is text that any role may set: whatever it holds, it fails no write.
 *
 * @since 0.1.0
 */
import type { KeyName } from "./KeyName.ts"

/** Each name between two marks that no other name can hold: a quote in a name is doubled. */
export const encode = (names: ReadonlyArray<KeyName>): string =>
  names.length === 0 ? "" : `;${names.map(({ key, namespace }) => `${quoted(namespace)}.${quoted(key)};`).join("")}`

const quoted = (name: string) => `'${name.replaceAll("'", "''")}'`

/** Whether the writer names this row's key as a secret, as an SQL condition. */
export const isNamed = (alias: string): string =>
  `position(';' || ${literal(`${alias}.namespace`)} || '.' || ${literal(`${alias}.key`)} || ';'
    IN coalesce(current_setting('systemplane.secret', true), '')) > 0`

const literal = (column: string) => `'''' || replace(${column}, '''', '''''') || ''''`
