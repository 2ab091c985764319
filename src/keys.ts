/**
 * The keys of an application and their schemas alone, for code that shares them with a service but reads no
 * configuration itself: a browser bundle, an admin page. It needs no driver and no module of Node.
 *
 * @since 0.1.0
 */
export {
  type Assignment,
  ConfigKey,
  type ConfigKeyGroup,
  type ConfigKeyOptions,
  InvalidConfigKey
} from "./schema/ConfigKey.ts"
export { Change, Entry, type NamedEntry } from "./schema/Entry.ts"
export type { KeyName } from "./schema/KeyName.ts"
export { PublicConfigError } from "./schema/PublicConfigError.ts"
export { TenantId } from "./schema/TenantId.ts"
