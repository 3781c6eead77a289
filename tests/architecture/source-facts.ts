import ts from 'typescript'

export interface ImportFact {
  readonly specifier: string
  readonly line: number
}

export interface GlobalFact {
  /** `Date`, `Math.random`. */
  readonly name: string
  readonly line: number
}

/** What one source file imports and which of some globals it uses. */
export interface SourceFacts {
  readonly imports: readonly ImportFact[]
  readonly globals: readonly GlobalFact[]
}

/** Reads a file as the compiler sees it, so that words in comments and strings do not count. */
export function readSourceFacts(path: string, text: string, globals: readonly string[]): SourceFacts {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.ES2023, true)
  const lineOf = (node: ts.Node): number => source.getLineAndCharacterOfPosition(node.getStart()).line + 1
  const imports: ImportFact[] = []
  const used: GlobalFact[] = []
  const wanted = new Set(globals)
  const declared = declaredNames(source)

  const visit = (node: ts.Node): void => {
    const specifier = importSpecifier(node)
    if (specifier !== null) {
      imports.push({ specifier, line: lineOf(node) })
    } else if (ts.isPropertyAccessExpression(node) && node.getText() === 'Math.random') {
      used.push({ name: 'Math.random', line: lineOf(node) })
    } else if (isThrough(node, 'globalThis')) {
      used.push({ name: 'globalThis', line: lineOf(node) })
    } else if (
      ts.isIdentifier(node) &&
      wanted.has(node.text) &&
      !declared.has(node.text) &&
      isReference(node)
    ) {
      used.push({ name: node.text, line: lineOf(node) })
    }
    ts.forEachChild(node, visit)
  }
  visit(source)
  return { imports, globals: used }
}

const isThrough = (node: ts.Node, name: string): boolean =>
  ts.isIdentifier(node) && node.text === name && isReference(node)

function importSpecifier(node: ts.Node): string | null {
  if ((ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) && node.moduleSpecifier) {
    return ts.isStringLiteral(node.moduleSpecifier) ? node.moduleSpecifier.text : null
  }
  if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
    return ts.isStringLiteral(node.argument.literal) ? node.argument.literal.text : null
  }
  const dynamic = ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword
  if (!dynamic) return null
  const [argument] = node.arguments
  return argument && ts.isStringLiteralLike(argument) ? argument.text : null
}

/** Names that a file gives to something of its own; they hide the globals. */
function declaredNames(source: ts.SourceFile): ReadonlySet<string> {
  const names = new Set<string>()
  const visit = (node: ts.Node): void => {
    const declares =
      ts.isVariableDeclaration(node) ||
      ts.isParameter(node) ||
      ts.isBindingElement(node) ||
      ts.isFunctionDeclaration(node) ||
      ts.isClassDeclaration(node) ||
      ts.isInterfaceDeclaration(node) ||
      ts.isTypeAliasDeclaration(node) ||
      ts.isImportSpecifier(node)
    if (declares && node.name && ts.isIdentifier(node.name)) names.add(node.name.text)
    ts.forEachChild(node, visit)
  }
  visit(source)
  return names
}

/** Whether an identifier reads a variable, rather than naming a property, a member or a type. */
function isReference(node: ts.Identifier): boolean {
  const { parent } = node
  if (ts.isPropertyAccessExpression(parent)) return parent.expression === node
  if (ts.isQualifiedName(parent) || ts.isTypeReferenceNode(parent)) return false
  if (ts.isPropertyAssignment(parent)) return parent.initializer === node
  if (ts.isPropertySignature(parent) || ts.isPropertyDeclaration(parent))
    return 'initializer' in parent && parent.initializer === node
  if (ts.isMethodDeclaration(parent) || ts.isMethodSignature(parent) || ts.isGetAccessor(parent)) return false
  if (ts.isEnumMember(parent) || ts.isLabeledStatement(parent) || ts.isNamedTupleMember(parent)) return false
  return !(ts.isBindingElement(parent) && parent.propertyName === node)
}
