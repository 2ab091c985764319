/**
 * The events of a tenant directory: tenants that come, go, pause, or change their credentials.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { TenantId } from "./TenantId.ts"

/** @category models */
export const TenantActivated = Schema.TaggedStruct("TenantActivated", { tenant: TenantId })

/** @category models */
export const TenantSuspended = Schema.TaggedStruct("TenantSuspended", { tenant: TenantId })

/** @category models */
export const TenantDeleted = Schema.TaggedStruct("TenantDeleted", { tenant: TenantId })

/** @category models */
export const TenantCredentialsRotated = Schema.TaggedStruct("TenantCredentialsRotated", { tenant: TenantId })

/**
 * An event of a tenant directory. It is a schema, so that a message from a broker can be decoded.
 *
 * **Example** (From a message to the manager)
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { TenantLifecycleEvent, TenantManager } from "effect-systemplane"
 * import { SystemplaneMemory } from "effect-systemplane/testing"
 * import { RequestsPerMinute } from "./keys.ts"
 *
 * const decode = Schema.decodeUnknownEffect(Schema.fromJsonString(TenantLifecycleEvent))
 *
 * const onMessage = (message: string) =>
 *   Effect.flatMap(decode(message), (event) => TenantManager.use((manager) => manager.handle(event)))
 *
 * await onMessage(`{"_tag":"TenantActivated","tenant":"acme"}`).pipe(
 *   Effect.provide(SystemplaneMemory({ keys: [RequestsPerMinute] })),
 *   Effect.runPromise
 * )
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export const TenantLifecycleEvent = Schema.Union([
  TenantActivated,
  TenantSuspended,
  TenantDeleted,
  TenantCredentialsRotated
])

/**
 * @category models
 * @since 0.1.0
 */
export type TenantLifecycleEvent = typeof TenantLifecycleEvent.Type
