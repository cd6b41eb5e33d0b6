// Values reach SQL as parameters only: `sql.raw`, `sql.lit`, `sql.literal` and a computed JSON `.key()` are refused.
const BANNED = new Set(['raw', 'lit', 'literal'])

const noRawSql = {
  create(context) {
    return {
      CallExpression(node) {
        const callee = node.callee
        if (callee.type !== 'MemberExpression' || callee.property.type !== 'Identifier') return
        const name = callee.property.name
        if (
          callee.object.type === 'Identifier' &&
          callee.object.name === 'sql' &&
          BANNED.has(name)
        ) {
          context.report({
            node,
            message: `sql.${name} puts text into a statement; pass a parameter.`,
          })
        }
        if (name === 'key' && node.arguments.length === 1 && node.arguments[0].type !== 'Literal') {
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
