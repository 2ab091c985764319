/**
 * What is not as it should be in the schema of a tenant's database: the facts of PgCatalog compared with what `Ddl`
 * makes. Pure.
 *
 * A finding `loses` if changes or revisions would get lost: `verify` refuses such a database. Any other finding is a
 * warning: an object is missing that is not needed to serve values, or is unsafe. Triggers of other services that do
 * the same are accepted.
 */
import * as DdlEntries from "../../schema/DdlEntries.ts"
import {
  type DdlObject,
  type FunctionObject,
  inSchema,
  type RelationObject,
  safePath,
  type TriggerObject,
  version
} from "../../schema/DdlObjects.ts"
import * as PgCatalog from "./PgCatalog.ts"

/** Something that is not as it should be. */
export interface Finding {
  readonly object: DdlObject
  /** Whether changes or revisions get lost. */
  readonly loses: boolean
  /** What is wrong, for an operator. */
  readonly problem: string
  /** The SQL that mends it, if that is short. */
  readonly sql?: string | undefined
}

/** What is not in order, in the order in which the objects build on each other. */
export const findings = (
  objects: ReadonlyArray<DdlObject>,
  { ahead, facts, schema }: { readonly facts: PgCatalog.Facts; readonly ahead: boolean; readonly schema: string }
): ReadonlyArray<Finding> => {
  const found: Array<Finding> = []
  for (const object of objects) {
    switch (object.kind) {
      case "relation":
        found.push(...ofRelation(object, facts))
        break
      case "function":
        if (isRun(object, facts)) found.push(...ofFunction(object, facts, schema))
        break
      case "triggers": {
        const wrong = object.triggers.flatMap((trigger) => ofTrigger(trigger, facts))
        if (wrong.length > 0) {
          found.push({ object, loses: wrong.some(({ loses }) => loses), problem: wrong[0]!.problem })
        }
        break
      }
      case "rule":
        if (!ruleHolds(object, facts, ahead)) {
          found.push({
            object,
            loses: object !== DdlEntries.noDefault && !isOfHistory(object),
            problem: "is not as it should be"
          })
        }
    }
  }
  return found
}

const isOfHistory = ({ name }: DdlObject) => name.includes("systemplane_history")

const ofRelation = (object: RelationObject, facts: PgCatalog.Facts): ReadonlyArray<Finding> => {
  const there = facts.relations.find(([name]) => name === object.relation)
  if (there === undefined || !object.relkinds.includes(there[1])) {
    return [{ object, loses: object === DdlEntries.table || object === DdlEntries.sequence, problem: "is missing" }]
  }
  return object.owned && !there[2]
    ? [{ object, loses: false, problem: "does not belong to the owner of systemplane_entries" }]
    : []
}

/** The triggers whose loss loses changes or revisions. */
const vital = [DdlEntries.bumpTrigger, DdlEntries.notifyTrigger, DdlEntries.notifyUpdateTrigger]

const triggerOf = (trigger: TriggerObject, facts: PgCatalog.Facts) =>
  facts.triggers.find(([table, name]) => table === trigger.table && name === trigger.name)

/** Whether the trigger is one of another service, which does the same. */
const isTolerated = (trigger: TriggerObject, facts: PgCatalog.Facts): boolean => {
  const there = triggerOf(trigger, facts)
  return there !== undefined && hasArguments(trigger, there[6], there[4]) && trigger.tolerated.includes(there[6])
}

/** Ours have none. That of another service may name the channel, which must be ours then. */
const hasArguments = (trigger: TriggerObject, run: string, args: string): boolean =>
  args === "" || (trigger.tolerated.includes(run) && args === "systemplane_changes\\000")

const ofTrigger = (
  trigger: TriggerObject,
  facts: PgCatalog.Facts
): ReadonlyArray<{ loses: boolean; problem: string }> => {
  const loses = vital.includes(trigger)
  const there = triggerOf(trigger, facts)
  if (there === undefined) return [{ loses, problem: "is missing" }]
  const [, , type, enabled, args, conditional, run, here] = there
  if (type !== trigger.tgtype || !hasArguments(trigger, run, args))
    return [{ loses, problem: "fires on something else" }]
  if (enabled !== "O" && enabled !== "A") return [{ loses, problem: "does not fire" }]
  if (trigger.tolerated.includes(run)) return []
  if (run !== trigger.function || !here) return [{ loses, problem: "runs another function" }]
  return enabled === trigger.enabled && conditional === trigger.conditional
    ? []
    : [{ loses: false, problem: "is outdated" }]
}

/** The function of another service's trigger is that service's business, and ours is not needed then. */
const isRun = (object: FunctionObject, facts: PgCatalog.Facts): boolean => {
  const triggers = vital.filter((trigger) => trigger.function === object.name)
  return triggers.length === 0 || triggers.some((trigger) => !isTolerated(trigger, facts))
}

const versionOf = (body: string): number => Number(/^-- effect-systemplane (\d{1,9})\n/.exec(body)?.[1] ?? 0)

const ofFunction = (object: FunctionObject, facts: PgCatalog.Facts, schema: string): ReadonlyArray<Finding> => {
  const there = facts.functions.find(([name, types]) => name === object.name && types === object.types)
  const loses = object === DdlEntries.drawRevision || object === DdlEntries.notify
  if (there === undefined) return [{ object, loses, problem: "is missing" }]
  const [, , body, definer, config, owned, others] = there
  const signature = `${schema}.${object.name}(${object.types})`
  if (versionOf(body) <= version) {
    if (body !== inSchema(object.body, schema)) {
      const known = object.older?.includes(body) === true
      return [{ object, loses: loses && !known, problem: known ? "is of an older version" : "has another body" }]
    }
    if (definer !== object.definer) {
      return [{ object, loses: object === DdlEntries.drawRevision, problem: "has other rights than it needs" }]
    }
  }
  const unsafe = (problem: string, sql: string) => [{ object, loses: false, problem, sql }]
  if (config !== `search_path=${safePath}`) {
    return unsafe("has another search_path", `ALTER FUNCTION ${signature} SET search_path = ${safePath};`)
  }
  if (!owned) return unsafe("does not belong to the owner of systemplane_entries", "")
  if (object.executable !== "everyone" && others > (object.executable === "named" ? 1 : 0)) {
    return unsafe("may be executed by other roles", `REVOKE ALL ON FUNCTION ${signature} FROM PUBLIC;`)
  }
  return []
}

const isThere = (facts: PgCatalog.Facts, relation: string) => facts.relations.some(([name]) => name === relation)

/** What a table is made of comes with the table. */
const ruleHolds = (object: DdlObject, facts: PgCatalog.Facts, ahead: boolean): boolean => {
  if (!isThere(facts, isOfHistory(object) ? "systemplane_history" : "systemplane_entries")) return true
  switch (object) {
    case DdlEntries.columns:
      return DdlEntries.columnNames.every((column) => PgCatalog.hasColumn(facts, "systemplane_entries", column))
    case DdlEntries.primaryKey:
      return facts.unique
    case DdlEntries.revisionColumn:
      return PgCatalog.hasColumn(facts, "systemplane_entries", "revision")
    case DdlEntries.noDefault:
      return !facts.columns.some(
        ([of, name, hasDefault]) => of === "systemplane_entries" && name === "revision" && hasDefault
      )
    case DdlEntries.sequencePosition:
      return facts.ordered && ahead
    default:
      return ["change_id", "reason", "previous_revision", "redacted", "origin", "transaction_id"].every((column) =>
        PgCatalog.hasColumn(facts, "systemplane_history", column)
      )
  }
}
