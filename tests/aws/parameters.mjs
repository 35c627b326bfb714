// What the AWS SDK for JavaScript sees of parameters, as JSON on standard output.
import {
  GetParameterCommand, GetParametersByPathCommand, GetParametersCommand, ParameterAlreadyExists, ParameterNotFound,
  PutParameterCommand, SSMClient, paginateGetParametersByPath,
} from "@aws-sdk/client-ssm";

const client = new SSMClient({ maxAttempts: 1 });
const seen = {};
const put = (Name, Value, Type) => client.send(new PutParameterCommand({ Name, Value, Type }));
seen.put = (await put("/js/a", "one", "String")).Version;
await put("/js/s", "hunter2", "SecureString");
const got = (await client.send(new GetParameterCommand({ Name: "/js/s", WithDecryption: true }))).Parameter;
seen.got = [got.Value, got.Type, got.LastModifiedDate instanceof Date];
seen.several = (await client.send(new GetParametersCommand({ Names: ["/js/a", "/none"] }))).InvalidParameters;
seen.folder = (await client.send(new GetParametersByPathCommand({ Path: "/js" }))).Parameters.map((one) => one.Name);
seen.pages = 0;
for await (const page of paginateGetParametersByPath({ client, pageSize: 1 }, { Path: "/js" })) seen.pages += page.Parameters.length;
const refused = async (call, kind) => {
  try {
    await call();
  } catch (error) {
    return [error instanceof kind, error.name, error.message.length > 0, error.$metadata.httpStatusCode];
  }
};
seen.missing = await refused(() => client.send(new GetParameterCommand({ Name: "/none" })), ParameterNotFound);
seen.taken = await refused(() => put("/js/a", "two", "String"), ParameterAlreadyExists);
console.log(JSON.stringify(seen));
