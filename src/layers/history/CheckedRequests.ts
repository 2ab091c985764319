/**
 * What is asked of a history, checked before anything is sent.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { type ChangeHistoryError, InvalidQuery } from "../../schema/operator/ChangeHistoryError.ts"
import type { ChangeQuery, CheckedQuery, PageRequest } from "../../schema/operator/ChangeRecord.ts"
import type { Retention } from "../../services/HistoryStore.ts"
import { failWith } from "./HistoryFailure.ts"

const longestPage = 1_000

const invalid = (parameter: string, expected: string) => failWith(new InvalidQuery({ parameter, expected }))

export const millisOf = (
  parameter: string,
  moment: DateTime.DateTime.Input
): Effect.Effect<number, ChangeHistoryError> =>
  Option.match(DateTime.make(moment), {
    onNone: () => invalid(parameter, "a moment"),
    onSome: (moment) => Effect.succeed(DateTime.toEpochMillis(moment))
  })

export const page = ({ before, limit = 50 }: PageRequest) => {
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > longestPage) {
    return invalid("limit", `a whole number from 1 to ${longestPage}`)
  }
  return before === undefined || (Number.isSafeInteger(before) && before >= 0)
    ? Effect.succeed({ before, limit })
    : invalid("before", "the next of the page before")
}

export const query = Effect.fnUntraced(function* (
  query: ChangeQuery
): Effect.fn.Return<CheckedQuery, ChangeHistoryError> {
  const { before, limit } = yield* page(query)
  const { actor, from, key, namespace, to } = query
  return {
    namespace,
    key,
    actor,
    from: from === undefined ? undefined : yield* millisOf("from", from),
    to: to === undefined ? undefined : yield* millisOf("to", to),
    before,
    limit
  }
})

export const revision = (parameter: string, revision: number) =>
  Number.isSafeInteger(revision) && revision >= 0 ? Effect.void : invalid(parameter, "a whole number, 0 or more")

const isCount = (count: number | undefined) => count === undefined || (Number.isSafeInteger(count) && count >= 0)

export const retention = ({ keepDays, keepPerKey }: Retention) =>
  isCount(keepDays) && isCount(keepPerKey) && (keepDays ?? keepPerKey) !== undefined
    ? Effect.void
    : invalid("keepDays or keepPerKey", "given, as a whole number, 0 or more")
