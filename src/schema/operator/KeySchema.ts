/**
 * The JSON Schema (draft 2020-12) of what a key's schema decodes from JSON.
 *
 * It describes the stored value itself, unlike `Schema.toJsonSchemaDocument`, which describes Effect's own JSON codec:
 * there is no "Infinity" here, and no null for an optional field. It never refuses what the decoder takes. It is
 * `exact` if it also takes nothing that the decoder refuses: a filter, a pattern without the `u` flag and a
 * transformation cannot be expressed, so that the decoder has the last word about them.
 *
 * @since 0.1.0
 */
import type * as Schema from "effect/Schema"
import * as AST from "effect/SchemaAST"
import type { Json } from "../JsonText.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface KeySchema {
  readonly schema: { readonly [name: string]: Json }
  /** Whether the JSON Schema takes nothing that the decoder refuses. */
  readonly exact: boolean
  /** Why it is not exact, for people. */
  readonly reasons: ReadonlyArray<string>
}

type Node = { [name: string]: Json }

const dialect = "https://json-schema.org/draft/2020-12/schema"

/**
 * The JSON Schema of a schema.
 *
 * @category constructors
 * @since 0.1.0
 */
export const of = (schema: Schema.Constraint): KeySchema => {
  const walk = new Walk()
  let root: Node
  try {
    root = walk.node(schema.ast)
  } catch {
    // A schema that is made on demand may throw: then nothing is known of it.
    root = walk.anything("its schema cannot be looked at")
  }
  const definitions = walk.definitions
  return {
    schema: { $schema: dialect, ...root, ...(Object.keys(definitions).length > 0 ? { $defs: definitions } : {}) },
    exact: walk.reasons.size === 0,
    reasons: [...walk.reasons]
  }
}

class Walk {
  readonly reasons = new Set<string>()
  readonly definitions: Node = {}
  readonly #names = new Map<unknown, string>()

  anything(reason: string): Node {
    this.reasons.add(reason)
    return {}
  }

  node(ast: AST.AST): Node {
    if (ast.encoding !== undefined) {
      this.reasons.add("a transformation")
      return this.node(AST.toEncoded(ast))
    }
    const base = this.#base(ast)
    const fragments = (ast.checks ?? []).flatMap((check) => this.#check(check, base))
    return fragments.length === 0 ? base : { allOf: [base, ...fragments] }
  }

  #base(ast: AST.AST): Node {
    if ("encodingChecks" in ast && ast.encodingChecks !== undefined) this.reasons.add("a filter on the encoded value")
    switch (ast._tag) {
      case "String":
        return { type: "string" }
      case "Number":
        return { type: "number" }
      case "Boolean":
        return { type: "boolean" }
      case "Null":
        return { type: "null" }
      case "Literal":
        return typeof ast.literal === "bigint" ? nothing : { const: ast.literal }
      case "Enum":
        return { enum: ast.enums.map(([, value]) => value) }
      case "Unknown":
      case "Any":
        return {}
      case "TemplateLiteral":
        this.reasons.add("a template literal")
        return { type: "string" }
      case "ObjectKeyword":
        return { type: ["object", "array"] }
      case "Union":
        return this.#union(ast)
      case "Arrays":
        return this.#arrays(ast)
      case "Objects":
        return this.#objects(ast)
      case "Suspend":
        return this.#suspended(ast)
      case "Declaration":
        return this.anything("a type of its own")
      default:
        // Never, undefined, symbols and big integers: JSON has none of them.
        return nothing
    }
  }

  #union(ast: AST.Union): Node {
    if (ast.options !== undefined && "mode" in ast.options && ast.options.mode === "oneOf") {
      this.reasons.add("a union of which exactly one member may fit")
    }
    const members = ast.types.filter((type) => !isAbsence(type)).map((type) => this.node(type))
    const [only] = members
    return only === undefined ? nothing : members.length === 1 ? only : { anyOf: members }
  }

  #arrays(ast: AST.Arrays): Node {
    const elements = ast.elements.map((element) => this.node(element))
    const least = ast.elements.filter((element) => element.context?.isOptional !== true).length
    const [rest, ...trailing] = ast.rest
    if (trailing.length > 0) this.reasons.add("elements after a rest")
    return {
      type: "array",
      ...(elements.length > 0 ? { prefixItems: elements } : {}),
      ...(rest === undefined ? { items: false } : trailing.length > 0 ? {} : { items: this.node(rest) }),
      ...(least + trailing.length > 0 ? { minItems: least + trailing.length } : {})
    }
  }

  #objects(ast: AST.Objects): Node {
    if (ast.propertySignatures.length === 0 && ast.indexSignatures.length === 0) return { not: { type: "null" } }
    const properties: Node = {}
    const required: Array<string> = []
    for (const { name, type } of ast.propertySignatures) {
      if (typeof name === "symbol") {
        if (type.context?.isOptional !== true) return nothing
        continue
      }
      Object.defineProperty(properties, String(name), { value: this.node(type), enumerable: true })
      const mayBeAbsent = type.context?.isOptional === true
      if (!mayBeAbsent) required.push(String(name))
    }
    const [index, ...others] = ast.indexSignatures
    if (others.length > 0 || (index !== undefined && required.length + Object.keys(properties).length > 0)) {
      this.reasons.add("fields beside a record")
    }
    const plain = others.length === 0 && index?.parameter._tag === "String" && index.parameter.checks === undefined
    if (index !== undefined && !plain) this.reasons.add("a record whose names follow a rule")
    return {
      type: "object",
      ...(Object.keys(properties).length > 0 ? { properties } : {}),
      ...(required.length > 0 ? { required } : {}),
      ...(index !== undefined && plain && Object.keys(properties).length === 0
        ? { additionalProperties: this.node(index.type) }
        : {})
    }
  }

  #suspended(ast: AST.Suspend): Node {
    const target = ast.thunk()
    const known = this.#names.get(target)
    const name = known ?? `type${this.#names.size + 1}`
    if (known === undefined) {
      this.#names.set(target, name)
      this.definitions[name] = this.node(target)
    }
    return { $ref: `#/$defs/${name}` }
  }

  #check(check: AST.Checks[number], base: Node): ReadonlyArray<Node> {
    if (check._tag === "FilterGroup") return check.checks.flatMap((each) => this.#check(each, base))
    const { id, payload } = (check.annotations?.representation ?? {}) as {
      readonly id?: string
      readonly payload?: any
    }
    const rule = id === undefined ? undefined : rules[id.replace("effect/schema/", "")]
    const known = rule?.(payload ?? {}, base)
    if (known === undefined) {
      this.reasons.add(`a filter: ${check.annotations?.expected ?? "a rule of its own"}`)
      return []
    }
    if (known.reason !== undefined) this.reasons.add(known.reason)
    return [known.schema]
  }
}

const nothing: Node = { not: {} }

const isAbsence = (ast: AST.AST) => ast._tag === "Undefined" || ast._tag === "Void"

interface Rule {
  readonly schema: Node
  readonly reason?: string
}

const exactly = (schema: Node): Rule => ({ schema })

const isArray = (base: Node) => base.type === "array"
const isString = (base: Node) => base.type === "string"

// JavaScript counts UTF-16 units and JSON Schema counts characters, of which one may have two units.
const atLeast = (units: number, base: Node): Rule | undefined => {
  if (isArray(base)) return exactly({ minItems: units })
  if (!isString(base)) return undefined
  const schema = { minLength: Math.ceil(units / 2) }
  return units <= 1 ? exactly(schema) : { schema, reason: "a length, which JSON Schema counts in characters" }
}

const atMost = (units: number, base: Node): Rule | undefined => {
  if (isArray(base)) return exactly({ maxItems: units })
  if (!isString(base)) return undefined
  const schema = { maxLength: units }
  return units === 0 ? exactly(schema) : { schema, reason: "a length, which JSON Schema counts in characters" }
}

/** The filters that JSON Schema can express, by the name that Effect gives them. */
const rules: { readonly [id: string]: ((payload: any, base: Node) => Rule | undefined) | undefined } = {
  isInt: () => exactly({ type: "integer", minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER }),
  isFinite: () => exactly({}),
  isGreaterThan: ({ exclusiveMinimum }) => finite(exclusiveMinimum, { exclusiveMinimum }),
  isGreaterThanOrEqualTo: ({ minimum }) => finite(minimum, { minimum }),
  isLessThan: ({ exclusiveMaximum }) => finite(exclusiveMaximum, { exclusiveMaximum }),
  isLessThanOrEqualTo: ({ maximum }) => finite(maximum, { maximum }),
  isBetween: ({ exclusiveMaximum, exclusiveMinimum, maximum, minimum }) =>
    finite(minimum, {
      [exclusiveMinimum === true ? "exclusiveMinimum" : "minimum"]: minimum,
      [exclusiveMaximum === true ? "exclusiveMaximum" : "maximum"]: maximum
    }),
  isMinLength: ({ minLength }, base) => atLeast(minLength, base),
  isMaxLength: ({ maxLength }, base) => atMost(maxLength, base),
  isPattern: ({ flags, source }) => (flags === "u" ? exactly({ pattern: source }) : undefined)
}

const finite = (bound: unknown, schema: Node): Rule | undefined =>
  typeof bound === "number" && Number.isFinite(bound) ? exactly(schema) : undefined
