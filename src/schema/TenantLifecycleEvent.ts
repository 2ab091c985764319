/**
 * The events of a tenant directory: tenants that come, go, pause, or change their credentials.
 *
 * @since 0.1.0
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Getter from "effect/SchemaGetter"
import { TenantId } from "./TenantId.ts"

/** The tenant is to be served. @category models */
export const TenantActivated = Schema.TaggedStruct("TenantActivated", { tenant: TenantId })

/** The tenant is not to be followed for now. @category models */
export const TenantSuspended = Schema.TaggedStruct("TenantSuspended", { tenant: TenantId })

/** The tenant is gone. @category models */
export const TenantDeleted = Schema.TaggedStruct("TenantDeleted", { tenant: TenantId })

/** The tenant's credentials are others from now on. @category models */
export const TenantCredentialsRotated = Schema.TaggedStruct("TenantCredentialsRotated", { tenant: TenantId })

/**
 * An event of a tenant's life, as the manager handles it.
 *
 * **Details**
 *
 * `TenantManager.handle` also takes what arrives from a message broker as it is: an event as tenant-manager services
 * publish it (`{ "event_type": "tenant.activated", "tenant_id": "acme", … }`), and ignores all that is neither.
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

/** The event types of tenant-manager services, and what they mean here. */
const tags = {
  "tenant.activated": "TenantActivated",
  "tenant.suspended": "TenantSuspended",
  "tenant.deleted": "TenantDeleted",
  "tenant.credentials.rotated": "TenantCredentialsRotated"
} as const

type EventType = keyof typeof tags
const eventTypes = Object.keys(tags) as ReadonlyArray<EventType>
const eventTypeOf = (tag: TenantLifecycleEvent["_tag"]) => eventTypes.find((type) => tags[type] === tag)!

/**
 * An event as tenant-manager services publish it on `tenant-events:{tenant_id}`, without the fields that play no part.
 */
const Published = Schema.Struct({ event_type: Schema.Literals(eventTypes), tenant_id: TenantId })

/** A published event as one of ours. */
const FromPublished = Published.pipe(
  Schema.decodeTo(Schema.toType(TenantLifecycleEvent), {
    decode: Getter.transform(({ event_type, tenant_id }) => ({ _tag: tags[event_type], tenant: tenant_id })),
    encode: Getter.transform(({ _tag, tenant }) => ({ event_type: eventTypeOf(_tag), tenant_id: tenant }))
  })
)

const decodeEvent = Schema.decodeUnknownOption(Schema.Union([TenantLifecycleEvent, FromPublished]))
const decodeText = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Unknown))

/**
 * Reads an event in either form, as an object or as JSON text. `None` if it is neither, or if it cannot be read (a
 * getter or a proxy that throws): then it is an event for others.
 *
 * @category constructors
 * @since 0.1.0
 */
export const parseLifecycleEvent = (given: unknown): Option.Option<TenantLifecycleEvent> => {
  try {
    return typeof given === "string" ? Option.flatMap(decodeText(given), decodeEvent) : decodeEvent(given)
  } catch {
    return Option.none()
  }
}
