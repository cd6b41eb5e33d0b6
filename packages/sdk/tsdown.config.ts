import { defineConfig } from 'tsdown'

export default defineConfig({
  entry: { index: 'src/index.ts', webhooks: 'src/webhooks.ts' },
  format: ['esm'],
  outDir: 'dist',
  dts: true,
  platform: 'neutral',
  target: 'es2022',
  fixedExtension: false,
  tsconfig: 'tsconfig.dist.json',
  // A consumer installs no other package.
  deps: {
    alwaysBundle: [/^@trpc\//, /^@nanobanana\//],
    onlyBundle: ['@trpc/client', '@trpc/server'],
  },
  // They are in the declarations, where editors find them.
  outputOptions: { comments: { jsdoc: false, annotation: true, legal: true } },
  // @trpc/client does not say so itself; without it every one of its links is in the bundle.
  treeshake: { moduleSideEffects: false },
})
