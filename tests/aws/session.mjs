// What the AWS SDK for JavaScript sees of a server, as JSON on standard output.
import {
  BatchGetSecretValueCommand, CreateSecretCommand, DescribeSecretCommand, GetSecretValueCommand, ListSecretsCommand,
  PutSecretValueCommand, ResourceNotFoundException, SecretsManagerClient,
} from "@aws-sdk/client-secrets-manager";

const client = new SecretsManagerClient({ maxAttempts: 1 });
const seen = {};
const made = await client.send(new CreateSecretCommand({ Name: "js/a", SecretString: "hunter2" }));
seen.requestId = Boolean(made.$metadata.requestId);
seen.text = (await client.send(new GetSecretValueCommand({ SecretId: made.ARN }))).SecretString;
await client.send(new PutSecretValueCommand({ SecretId: "js/a", SecretBinary: new Uint8Array([0, 255]) }));
const got = await client.send(new GetSecretValueCommand({ SecretId: "js/a" }));
seen.bytes = [...got.SecretBinary];
seen.created = got.CreatedDate instanceof Date;
seen.stages = Object.values((await client.send(new DescribeSecretCommand({ SecretId: "js/a" }))).VersionIdsToStages).flat().sort();
const batch = await client.send(new BatchGetSecretValueCommand({ SecretIdList: ["js/a", "none"] }));
seen.batch = [batch.SecretValues.length, batch.Errors[0].ErrorCode];
seen.listed = (await client.send(new ListSecretsCommand({}))).SecretList.map((one) => one.Name);
try {
  await client.send(new GetSecretValueCommand({ SecretId: "none" }));
} catch (error) {
  seen.error = [error instanceof ResourceNotFoundException, error.name, error.message, error.$metadata.httpStatusCode];
}
console.log(JSON.stringify(seen));
