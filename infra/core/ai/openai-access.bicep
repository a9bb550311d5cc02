// The right to use an Azure OpenAI account's models. Deployed into the account's resource group, which need not be ours.

param accountName string

@description('Who may call the models: list of {id, type}.')
param users array

var openAiUserRole = '5e0bd9bd-7b93-4f28-af87-19fc36ad61bd'

resource account 'Microsoft.CognitiveServices/accounts@2025-06-01' existing = {
  name: accountName
}

resource assignments 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for user in users: {
    scope: account
    name: guid(account.id, user.id, openAiUserRole)
    properties: {
      principalId: user.id
      principalType: user.type
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', openAiUserRole)
    }
  }
]

output id string = account.id
output endpoint string = account.properties.endpoint
