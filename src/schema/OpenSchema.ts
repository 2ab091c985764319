/**
 * Lets what a document holds beyond its schema's fields pass through decoding and encoding. A process of an older
 * version, whose schema does not know a field, so changes a document without dropping that field.
 *
 * Each struct of a schema is opened, at any depth, in arrays, records and unions: an undeclared property is kept as the
 * JSON that it is. If a schema transforms a whole object (a class, a struct with `encodeKeys` or with a default
 * while decoding) it stays as it was: what it makes has no place for what it does not know.
 *
 * @since 0.1.0
 */
import { memoize } from "effect/Function"
import * as Schema from "effect/Schema"
import * as AST from "effect/SchemaAST"

/** The schema of the same type that keeps undeclared properties. */
export const open = memoize((schema: Schema.Codec<any, any>): Schema.Codec<any, any> => Schema.make(opened(schema.ast)))

const beyond = new AST.IndexSignature(Schema.String.ast, Schema.Unknown.ast)

const opened = memoize((ast: AST.AST): AST.AST => {
  if (ast.encoding !== undefined) return ast
  const { annotations, checks, context } = ast
  switch (ast._tag) {
    case "Objects": {
      const properties = ast.propertySignatures.map(({ name, type }) => new AST.PropertySignature(name, opened(type)))
      // A struct without properties takes whatever is not null.
      const indexes =
        ast.indexSignatures.length === 0 && properties.length > 0
          ? [beyond]
          : ast.indexSignatures.map(({ parameter, type }) => new AST.IndexSignature(parameter, opened(type)))
      return new AST.Objects(properties, indexes, annotations, checks, undefined, context, ast.encodingChecks)
    }
    case "Arrays":
      return new AST.Arrays(
        ast.isMutable,
        ast.elements.map(opened),
        ast.rest.map(opened),
        annotations,
        checks,
        undefined,
        context,
        ast.encodingChecks
      )
    case "Union":
      return new AST.Union(
        ast.types.map(opened),
        ast.options,
        annotations,
        checks,
        undefined,
        context,
        ast.encodingChecks
      )
    case "Suspend":
      return new AST.Suspend(() => opened(ast.thunk()), annotations, undefined, undefined, context)
    default:
      return ast
  }
})
