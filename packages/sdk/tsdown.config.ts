import { defineConfig, type UserConfig } from 'tsdown'

const shared: UserConfig = {
  format: ['esm'],
  outDir: 'dist',
  dts: true,
  target: 'es2022',
  fixedExtension: false,
  tsconfig: 'tsconfig.dist.json',
  // They are in the declarations, where editors find them.
  outputOptions: { comments: { jsdoc: false, annotation: true, legal: true } },
}

export default defineConfig([
  {
    ...shared,
    entry: { index: 'src/index.ts', webhooks: 'src/webhooks.ts' },
    platform: 'neutral',
    // A consumer installs no other package.
    deps: {
      alwaysBundle: [/^@trpc\//, /^@nanobanana\//],
      onlyBundle: ['@trpc/client', '@trpc/server'],
    },
    // @trpc/client does not say so itself; without it every one of its links is in the bundle.
    treeshake: { moduleSideEffects: false },
  },
  // A build of its own, so that nothing of it is shared with what a page loads.
  {
    ...shared,
    entry: { cli: 'src/cli/main.ts' },
    platform: 'node',
    deps: {
      neverBundle: ['@nanobanana/sdk'],
      alwaysBundle: ['commander', /^@nanobanana\/shared/],
      onlyBundle: ['commander'],
    },
  },
])
