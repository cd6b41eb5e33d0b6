// Values reach SQL as parameters only: `sql.raw`, `sql.lit`, `sql.literal` and a computed JSON `.key()` are refused.
// Naming one is enough, called or not, so that no alias carries it past this rule.
const BANNED = new Set(['raw', 'lit', 'literal'])

/** `a.name`, `a['name']`, and the keys of `{ name } = a`. */
function nameOf(key, computed) {
  if (key.type === 'Identifier' && !computed) return key.name
  return key.type === 'Literal' ? key.value : undefined
}

const noRawSql = {
  create(context) {
    // `import { sql as s } from 'kysely'` is sql too.
    const tags = new Set(['sql'])
    const isTag = (node) => node?.type === 'Identifier' && tags.has(node.name)
    const refuse = (node, name) => {
      if (!BANNED.has(name)) return
      const message = `sql.${name} puts text into a statement; pass a parameter.`
      context.report({ node, message })
    }
    return {
      ImportSpecifier(node) {
        if (node.imported.name === 'sql') tags.add(node.local.name)
      },
      MemberExpression(node) {
        if (isTag(node.object)) refuse(node, nameOf(node.property, node.computed))
      },
      VariableDeclarator(node) {
        if (!isTag(node.init) || node.id.type !== 'ObjectPattern') return
        for (const { key, computed } of node.id.properties) {
          if (key) refuse(node, nameOf(key, computed))
        }
      },
      CallExpression(node) {
        const { callee } = node
        if (callee.type !== 'MemberExpression' || node.arguments.length !== 1) return
        if (nameOf(callee.property, callee.computed) !== 'key') return
        if (node.arguments[0].type !== 'Literal') {
          context.report({
            node,
            message: '.key() takes a literal: its argument becomes SQL text.',
          })
        }
      },
    }
  },
}

export default { meta: { name: 'house' }, rules: { 'no-raw-sql': noRawSql } }
