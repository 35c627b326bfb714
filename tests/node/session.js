'use strict';
// A day in the life of node-vault 0.12, unmodified, against the server of VAULT_ADDR: each step checks what it got.
// Two lives: `fresh` initialises and unseals a server; `open` works on one with the root token in VAULT_TOKEN.

const assert = require('node:assert/strict');
const nodeVault = require('node-vault');

const client = (token) => nodeVault({ apiVersion: 'v1', endpoint: process.env.VAULT_ADDR, token });
const steps = [];
const step = (name, run) => steps.push([name, run]);

/** The promise must fail as Vault fails: with that status, and a message. */
async function refused(promise, status, message) {
  await assert.rejects(promise, (error) => {
    assert.equal(error.response && error.response.statusCode, status, error.message);
    if (message) assert.match(error.message, message);
    return true;
  });
}

function fresh() {
  const vault = nodeVault({ endpoint: process.env.VAULT_ADDR, token: '' });
  let keys;
  step('a new server is not initialised', async () => {
    assert.deepEqual(await vault.initialized(), { initialized: false });
    const status = await vault.status();
    assert.equal(status.sealed, true);
    const health = await vault.health();
    assert.equal(health.initialized, false);
  });
  step('it is initialised with five keys of which three open', async () => {
    const made = await vault.init({ secret_shares: 5, secret_threshold: 3 });
    assert.equal(made.keys.length, 5);
    assert.equal(made.keys_base64.length, 5);
    keys = made.keys;
    vault.token = made.root_token;
    await refused(vault.init({ secret_shares: 5, secret_threshold: 3 }), 400, /already initialized/);
  });
  step('three keys open it', async () => {
    for (const [number, key] of keys.slice(0, 3).entries()) {
      const status = await vault.unseal({ key });
      assert.equal(status.sealed, number < 2);
      assert.equal(status.progress, number < 2 ? number + 1 : 0);
    }
    assert.equal((await vault.health()).sealed, false);
    assert.equal((await vault.leader()).ha_enabled, false);
  });
  step('a root token is made from keys', async () => {
    const begun = await vault.generateRootInit({});
    assert.equal(begun.started, true);
    let last;
    for (const key of keys.slice(0, 3)) last = await vault.generateRootUpdate({ key, nonce: begun.nonce });
    assert.equal(last.complete, true);
    const masked = Buffer.from(last.encoded_token, 'base64');
    const token = masked.map((byte, at) => byte ^ begun.otp.charCodeAt(at)).toString();
    const self = await client(token).tokenLookupSelf();
    assert.deepEqual(self.data.policies, ['root']);
    await client(token).tokenRevokeSelf();
  });
  step('a new term of the key begins, and the server is sealed', async () => {
    await vault.rotate();
    await vault.write('secret-free/nothing', {}).then(assert.fail, () => {});
    await vault.seal();
    assert.equal((await vault.status()).sealed, true);
    await refused(vault.tokenLookupSelf(), 503, /sealed/);
  });
}

function open() {
  const root = client(process.env.VAULT_TOKEN);
  // The client takes over every token that it makes: who makes tokens is somebody new each time.
  const maker = () => client(process.env.VAULT_TOKEN);
  const nobody = client('');
  nobody.token = undefined;

  step('the server tells its state', async () => {
    const health = await root.health();
    assert.equal(health.initialized, true);
    assert.equal(health.sealed, false);
    assert.match(health.version, /^\d+\.\d+\.\d+/);
    assert.equal((await root.status()).sealed, false);
  });
  step('mounts are made, listed, moved and removed', async () => {
    await root.mount({ mount_point: 'one', type: 'kv', description: 'first' });
    await root.mount({ mount_point: 'two', type: 'kv', options: { version: '2' } });
    const mounts = await root.mounts();
    assert.equal(mounts.data['one/'].type, 'kv');
    assert.deepEqual(mounts.data['two/'].options, { version: '2' });
    await root.write('one/a', { k: 'v' });
    await root.remount({ from: 'one', to: 'moved' });
    assert.equal((await root.read('moved/a')).data.k, 'v');
    await refused(root.read('one/a'), 404);
    await root.unmount({ mount_point: 'moved' });
    await root.mount({ mount_point: 'one', type: 'kv' });
  });
  step('version 1 keeps the last value', async () => {
    await root.write('one/app/db', { password: 'S3cret!', port: 5432, nested: { list: [1, 'a', null] } });
    const read = await root.read('one/app/db');
    assert.deepEqual(read.data, { password: 'S3cret!', port: 5432, nested: { list: [1, 'a', null] } });
    assert.ok(read.request_id && read.lease_duration > 0 && read.renewable === false);
    await root.write('one/app/other', { a: 'b' });
    assert.deepEqual((await root.list('one/app')).data.keys, ['db', 'other']);
    assert.deepEqual((await root.list('one')).data.keys, ['app/']);
    const polite = nodeVault({ endpoint: process.env.VAULT_ADDR, token: root.token, noCustomHTTPVerbs: true });
    assert.deepEqual((await polite.list('one/app')).data.keys, ['db', 'other']);
    await root.delete('one/app/db');
    await refused(root.read('one/app/db'), 404);
  });
  step('version 2 keeps versions', async () => {
    const first = await root.write('two/data/app', { data: { password: 'one', keep: true } });
    assert.equal(first.data.version, 1);
    const second = await root.write('two/data/app', { data: { password: 'two', keep: true }, options: { cas: 1 } });
    assert.equal(second.data.version, 2);
    await refused(root.write('two/data/app', { data: {}, options: { cas: 1 } }), 400, /check-and-set/);
    assert.deepEqual((await root.read('two/data/app')).data.data, { password: 'two', keep: true });
    assert.equal((await root.read('two/data/app?version=1')).data.data.password, 'one');
    const patched = await root.update('two/data/app', { data: { password: 'three', keep: null } });
    assert.equal(patched.data.version, 3);
    assert.deepEqual((await root.read('two/data/app')).data.data, { password: 'three' });
    await root.write('two/delete/app', { versions: [2] });
    await refused(root.read('two/data/app?version=2'), 404);
    await root.write('two/undelete/app', { versions: [2] });
    assert.equal((await root.read('two/data/app?version=2')).data.data.password, 'two');
    await root.destroySecretVersions({ mount_point: 'two', path: 'app', versions: [1] });
    const metadata = await root.read('two/metadata/app');
    assert.equal(metadata.data.versions[1].destroyed, true);
    assert.equal(metadata.data.current_version, 3);
    assert.deepEqual((await root.list('two/metadata')).data.keys, ['app']);
    await root.delete('two/metadata/app');
    await refused(root.read('two/metadata/app'), 404);
  });
  step('policies are written, read, listed, removed, and hold', async () => {
    const rules = 'path "one/app/*" { capabilities = ["read", "list"] }\npath "two/*" { capabilities = ["create", "update"] }';
    await root.addPolicy({ name: 'app', rules });
    assert.equal((await root.getPolicy({ name: 'app' })).rules, rules);
    assert.ok((await root.policies()).policies.includes('app'));
    const made = await maker().tokenCreate({ policies: ['app'], ttl: '1h' });
    const app = client(made.auth.client_token);
    assert.equal((await app.read('one/app/other')).data.a, 'b');
    await refused(app.write('one/app/other', { a: 'c' }), 403, /permission denied/);
    await refused(app.read('two/data/x'), 403);
    assert.equal((await app.write('two/data/x', { data: {} })).data.version, 1);
    await root.addPolicy({ name: 'gone', rules: '# nothing' });
    await root.removePolicy({ name: 'gone' });
    await refused(root.getPolicy({ name: 'gone' }), 404);
  });
  step('tokens are made, looked up, renewed and revoked', async () => {
    const made = await maker().tokenCreate({ policies: ['app'], ttl: '30m', display_name: 'node', meta: { team: 'web' } });
    const { client_token: token, accessor } = made.auth;
    const looked = await root.tokenLookup({ token });
    assert.equal(looked.data.display_name, 'token-node');
    assert.deepEqual(looked.data.meta, { team: 'web' });
    assert.equal((await root.tokenLookupAccessor({ accessor })).data.id, '');
    const self = client(token);
    assert.equal((await self.tokenLookupSelf()).data.accessor, accessor);
    assert.equal((await self.tokenRenewSelf({ increment: '10m' })).auth.client_token, token);
    assert.ok((await maker().tokenRenew({ token, increment: '20m' })).auth.lease_duration <= 1800);
    assert.ok((await root.tokenAccessors()).data.keys.includes(accessor));
    await root.tokenRevokeAccessor({ accessor });
    await refused(self.tokenLookupSelf(), 403);
    const orphan = await maker().tokenCreateOrphan({ policies: ['app'] });
    assert.equal((await root.tokenLookup({ token: orphan.auth.client_token })).data.orphan, true);
    await root.tokenRevoke({ token: orphan.auth.client_token });
    await root.tokenRevokeOrphan({ token: (await maker().tokenCreate({ policies: ['app'] })).auth.client_token });
  });
  step('token roles make tokens', async () => {
    await root.addTokenRole({ role_name: 'web', allowed_policies: 'app', orphan: true });
    assert.deepEqual((await root.getTokenRole({ role_name: 'web' })).data.allowed_policies, ['app']);
    assert.deepEqual((await root.tokenRoles()).data.keys, ['web']);
    const made = await maker().tokenCreateRole({ role_name: 'web', policies: ['app'] });
    assert.ok(made.auth.policies.includes('app') && made.auth.orphan);
    await root.removeTokenRole({ role_name: 'web' });
    await refused(root.getTokenRole({ role_name: 'web' }), 404);
  });
  step('an application logs in by AppRole', async () => {
    await root.enableAuth({ mount_point: 'approle', type: 'approle' });
    assert.equal((await root.auths()).data['approle/'].type, 'approle');
    await root.addApproleRole({ role_name: 'web', policies: 'app', token_ttl: 1200 });
    assert.deepEqual((await root.approleRoles()).data.keys, ['web']);
    assert.equal((await root.getApproleRole({ role_name: 'web' })).data.token_ttl, 1200);
    const { role_id } = (await root.getApproleRoleId({ role_name: 'web' })).data;
    const { secret_id, secret_id_accessor } = (await root.getApproleRoleSecret({ role_name: 'web' })).data;
    assert.deepEqual((await root.approleSecretAccessors({ role_name: 'web' })).data.keys, [secret_id_accessor]);
    assert.equal((await root.approleSecretLookup({ role_name: 'web', secret_id })).data.secret_id_accessor, secret_id_accessor);
    await root.approleSecretAccessorLookup({ role_name: 'web', secret_id_accessor });
    const login = await nobody.approleLogin({ role_id, secret_id });
    assert.equal(login.auth.lease_duration, 1200);
    // The client keeps the token of a login.
    assert.equal(nobody.token, login.auth.client_token);
    assert.equal((await nobody.read('one/app/other')).data.a, 'b');
    await nobody.tokenRevokeSelf();
    nobody.token = undefined;
    await refused(nobody.approleLogin({ role_id, secret_id: 'wrong' }), 400, /invalid/);
    await root.updateApproleRoleId({ role_name: 'web', role_id: 'chosen' });
    assert.equal((await nobody.approleLogin({ role_id: 'chosen', secret_id })).auth.metadata.role_name, 'web');
    nobody.token = undefined;
    await root.approleSecretAccessorDestroy({ role_name: 'web', secret_id_accessor });
    await refused(nobody.approleLogin({ role_id: 'chosen', secret_id }), 400);
    await root.deleteApproleRole({ role_name: 'web' });
  });
  step('a person logs in by name and password', async () => {
    await root.enableAuth({ mount_point: 'people', type: 'userpass' });
    await root.write('auth/people/users/ann', { password: 'correct horse', policies: 'app' });
    const login = await nobody.userpassLogin({ mount_point: 'people', username: 'ann', password: 'correct horse' });
    assert.ok(login.auth.policies.includes('app'));
    nobody.token = undefined;
    await refused(nobody.userpassLogin({ mount_point: 'people', username: 'ann', password: 'wrong' }), 400, /invalid/);
    await root.disableAuth({ mount_point: 'people' });
  });
  step('an answer is wrapped and opened once', async () => {
    const wrapped = await root.read('one/app/other', { headers: { 'X-Vault-Wrap-TTL': '60s' } });
    assert.equal(wrapped.data, null);
    assert.equal(wrapped.wrap_info.ttl, 60);
    const opened = await client(wrapped.wrap_info.token).unwrap();
    assert.equal(opened.data.a, 'b');
    await refused(client(wrapped.wrap_info.token).unwrap(), 400, /wrapping token/);
    const again = await root.write('sys/wrapping/wrap', { any: 'thing' }, { headers: { 'X-Vault-Wrap-TTL': 60 } });
    assert.deepEqual((await root.unwrap({ token: again.wrap_info.token })).data, { any: 'thing' });
  });
  step('devices, help and refusals are as this client expects them', async () => {
    await root.enableAudit({ name: 'file', type: 'file', options: { file_path: process.env.AUDIT_FILE } });
    assert.equal((await root.audits()).data['file/'].type, 'file');
    await root.disableAudit({ name: 'file' });
    assert.ok((await root.help('sys/mounts')).help);
    await refused(client('hvs.wrong').read('one/app/other'), 403, /permission denied/);
    await refused(root.read('no/such/mount'), 404);
    await refused(root.write('sys/mounts/x', { type: 'nonsense' }), 400);
  });
}

async function main() {
  ({ fresh, open })[process.argv[2]]();
  for (const [name, run] of steps) {
    try {
      await run();
      console.log(`ok: ${name}`);
    } catch (error) {
      const line = (error.stack || '').split('\n').find((each) => each.includes('session.js')) || '';
      console.log(`FAILED: ${name}: ${error.message}${error.response ? ` (${error.response.statusCode})` : ''} ${line.trim()}`);
      process.exitCode = 1;
      return;
    }
  }
  console.log(`${steps.length} steps`);
}

main();
