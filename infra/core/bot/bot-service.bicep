// The bot: reachable from Teams, and signed in by an identity of its own, so that no secret exists.

param name string
param tags object

@description('The bot\'s identity: its client id is the app id that tokens are issued for. Not the API\'s, whose tokens must not be taken for the bot\'s.')
param identityId string
param appId string

@description('Address of the API, such as https://name.azurewebsites.net.')
param apiEndpoint string
param logAnalyticsWorkspaceId string

resource bot 'Microsoft.BotService/botServices@2022-09-15' = {
  name: name
  location: 'global'
  tags: tags
  kind: 'azurebot'
  sku: {
    name: 'S1'
  }
  properties: {
    displayName: name
    endpoint: '${apiEndpoint}/api/messages'
    msaAppType: 'UserAssignedMSI'
    msaAppId: appId
    msaAppTenantId: tenant().tenantId
    msaAppMSIResourceId: identityId
    // Web Chat and Direct Line sign in with secrets, which this switches off: browsers have the chat page.
    disableLocalAuth: true
    isStreamingSupported: false
    schemaTransformationVersion: '1.3'
  }
}

resource teams 'Microsoft.BotService/botServices/channels@2022-09-15' = {
  parent: bot
  name: 'MsTeamsChannel'
  location: 'global'
  properties: {
    channelName: 'MsTeamsChannel'
  }
}

resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-log-analytics'
  scope: bot
  properties: {
    workspaceId: logAnalyticsWorkspaceId
    logs: [
      {
        categoryGroup: 'allLogs'
        enabled: true
      }
    ]
  }
}
