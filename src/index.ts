/**
 * Typed runtime configuration per tenant for Effect, hot-reloaded from PostgreSQL.
 *
 * @since 0.1.0
 */
export * as Ddl from "./ddl.ts"
export * from "./keys.ts"
export type { Systemplane } from "./layers/Engine.ts"
export * as PgConnector from "./layers/postgres/connection/PgConnector.ts"
export * as SystemplaneConfigProvider from "./layers/SystemplaneConfigProvider.ts"
export { SystemplaneLive } from "./layers/SystemplaneLive.ts"
export { type ReadThroughOptions, SystemplaneReadThrough } from "./layers/SystemplaneReadThrough.ts"
export { ActivationError, type ActivationErrorReason } from "./schema/ActivationError.ts"
export { ConfigError, type ConfigErrorReason } from "./schema/ConfigError.ts"
export { CollidingNames } from "./schema/ConfigProviderNames.ts"
export type { ConfigSnapshot } from "./schema/ConfigSnapshot.ts"
export { ConnectorError, type ConnectorErrorReason } from "./schema/ConnectorError.ts"
export { EntryStoreError, type EntryStoreErrorReason } from "./schema/EntryStoreError.ts"
export { Health, type HealthStatus, type TenantHealth } from "./schema/Health.ts"
export { InvalidOption, type SystemplaneOptions } from "./schema/Options.ts"
export {
  ChangeHistoryError,
  type ChangeHistoryErrorReason,
  type Conflict
} from "./schema/operator/ChangeHistoryError.ts"
export {
  type ChangePage,
  type ChangeQuery,
  ChangeRecord,
  type HistoryEvent,
  type PageRequest,
  type PastEntry,
  type RecordedChange,
  type RecordPage
} from "./schema/operator/ChangeRecord.ts"
export * as ConfigDiff from "./schema/operator/ConfigDiff.ts"
export type { Catalog, CatalogKey, KeyDeclaration } from "./schema/operator/KeyDeclaration.ts"
export * as Reconnect from "./schema/ReconnectDelays.ts"
export { SchemaBootstrapError, type SchemaBootstrapErrorReason } from "./schema/SchemaBootstrapError.ts"
export * from "./schema/TenantLifecycleEvent.ts"
export { TenantState, TenantStatus } from "./schema/TenantStatus.ts"
export type { CacheWrite, WriteAllOptions, WriteOptions } from "./schema/WriteRequest.ts"
export {
  ChangeHistory,
  type ChangeHistoryShape,
  type RevertOptions,
  type RollbackOptions
} from "./services/ChangeHistory.ts"
export { Config, type ConfigShape } from "./services/Config.ts"
export type { ConfigHandle } from "./services/ConfigHandle.ts"
export { Connector, type ListenSession, type Query, type QueryEach } from "./services/Connector.ts"
export { CurrentTenant, withTenant } from "./services/CurrentTenant.ts"
export { EntryStore, type EntryWrite, type ReadDiff } from "./services/EntryStore.ts"
export {
  type HistoryDelta,
  HistoryStore,
  type HistoryStoreError,
  type ListedChange,
  type Retention
} from "./services/HistoryStore.ts"
export { KeyCatalog } from "./services/KeyCatalog.ts"
export { KeyDeclarations } from "./services/KeyDeclarations.ts"
export { DuplicateKey, KeyRegistry, type Seed, type Unencodable } from "./services/KeyRegistry.ts"
export {
  type Changed,
  type Connected,
  type Disconnected,
  type FeedEvent,
  type FeedSession,
  ListenFeed
} from "./services/ListenFeed.ts"
export { SchemaBootstrap } from "./services/SchemaBootstrap.ts"
export { notInMemory, TenantCache, type TenantView } from "./services/TenantCache.ts"
export { type DrainReport, TenantManager } from "./services/TenantManager.ts"
