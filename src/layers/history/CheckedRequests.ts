/**
 * What is asked of a history, checked before anything is sent.
 *
 * It comes from callers that no compiler may have checked: a getter or a proxy may throw, and may say another thing
 * when it is asked again. So each request is read once, into plain data, and what cannot be read or asked is
 * `InvalidQuery`.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as JsonText from "../../schema/JsonText.ts"
import type { KeyName } from "../../schema/KeyName.ts"
import { type ChangeHistoryError, InvalidQuery } from "../../schema/operator/ChangeHistoryError.ts"
import type { ChangeQuery, CheckedQuery, PageRequest } from "../../schema/operator/ChangeRecord.ts"
import type { Retention } from "../../services/HistoryStore.ts"
import { failWith } from "./HistoryFailure.ts"

const longestPage = 1_000

const invalid = (parameter: string, expected: string) => failWith(new InvalidQuery({ parameter, expected }))

/** Reads what a caller gave. */
const read = <A>(parameter: string, pick: () => A): Effect.Effect<A, ChangeHistoryError> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(pick())
    } catch {
      return invalid(parameter, "one that can be read")
    }
  })

/** PostgreSQL knows no earlier moment than the year 4713 BC, and JavaScript does: nothing was recorded before it. */
const earliest = Date.UTC(-4712, 0, 1)

const millisOf = (parameter: string, moment: DateTime.DateTime.Input): Effect.Effect<number, ChangeHistoryError> =>
  Effect.flatMap(
    read(parameter, () => Option.map(DateTime.make(moment), DateTime.toEpochMillis)),
    Option.match({
      onNone: () => invalid(parameter, "a moment"),
      onSome: (millis) => Effect.succeed(Math.max(millis, earliest))
    })
  )

export const moment = (moment: DateTime.DateTime.Input) => millisOf("moment", moment)

const isText = (given: unknown): given is string =>
  typeof given === "string" && Result.isSuccess(JsonText.encode(given))

const text = (parameter: string, given: string | undefined): Effect.Effect<string | undefined, ChangeHistoryError> =>
  given === undefined || isText(given) ? Effect.succeed(given) : invalid(parameter, "well-formed text without U+0000")

/** The names of a key, declared or not. */
export const name = (given: KeyName): Effect.Effect<KeyName, ChangeHistoryError> =>
  Effect.flatMap(
    read("key", () => ({ namespace: given.namespace, key: given.key })),
    (name) =>
      isText(name.namespace) && isText(name.key) ? Effect.succeed(name) : invalid("key", "a namespace and a key")
  )

/** The id of a change, or what stands for one that is none: it is looked up, and shown in errors and spans. */
export const shownChangeId = (given: unknown): string =>
  typeof given === "string" ? given.slice(0, 64) : `(${typeof given})`

const checkedPage = ({ before, limit = 50 }: PageRequest) => {
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > longestPage) {
    return invalid("limit", `a whole number from 1 to ${longestPage}`)
  }
  return before === undefined || (Number.isSafeInteger(before) && before >= 0)
    ? Effect.succeed({ before, limit })
    : invalid("before", "the next of the page before")
}

export const page = (given: PageRequest | null | undefined) =>
  Effect.flatMap(
    read("page", (): PageRequest => ({ before: given?.before, limit: given?.limit })),
    checkedPage
  )

/** The tenant is left to the caller: it may be malformed. */
export const query = Effect.fnUntraced(function* (
  given: ChangeQuery | null | undefined
): Effect.fn.Return<CheckedQuery & { readonly tenant: unknown }, ChangeHistoryError> {
  const { actor, before, from, key, limit, namespace, tenant, to } = yield* read("query", () => {
    const { actor, before, from, key, limit, namespace, tenant, to } = given ?? {}
    return { actor, before, from, key, limit, namespace, tenant, to }
  })
  return {
    tenant,
    namespace: yield* text("namespace", namespace),
    key: yield* text("key", key),
    actor: yield* text("actor", actor),
    from: from === undefined ? undefined : yield* millisOf("from", from),
    to: to === undefined ? undefined : yield* millisOf("to", to),
    ...(yield* checkedPage({ before, limit }))
  }
})

/** The revision that a rollback names. */
export const target = (given: { readonly to: number }): Effect.Effect<number, ChangeHistoryError> =>
  Effect.flatMap(
    read("to", () => given.to),
    (to) => Effect.as(revision("to", to), to)
  )

export const revision = (parameter: string, revision: number) =>
  Number.isSafeInteger(revision) && revision >= 0 ? Effect.void : invalid(parameter, "a whole number, 0 or more")

const isCount = (count: number | undefined) => count === undefined || (Number.isSafeInteger(count) && count >= 0)

export const retention = (given: Retention): Effect.Effect<Retention, ChangeHistoryError> =>
  Effect.flatMap(
    read("retention", (): Retention => ({ keepDays: given.keepDays, keepPerKey: given.keepPerKey })),
    (retention) =>
      isCount(retention.keepDays) &&
      isCount(retention.keepPerKey) &&
      (retention.keepDays ?? retention.keepPerKey) !== undefined
        ? Effect.succeed(retention)
        : invalid("keepDays or keepPerKey", "given, as a whole number, 0 or more")
  )
