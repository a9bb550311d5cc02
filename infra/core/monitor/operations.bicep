// What whoever is on call works with: alerts, a workbook and a dashboard; docs/operations.md says how.

@description('Region of the alert rules and the workbook.')
param location string

@description('Tags of every resource.')
param tags object

@description('Name of the azd environment; part of every name that is shown.')
param environmentName string

@description('Resource id of the Log Analytics workspace that has the telemetry.')
param logAnalyticsWorkspaceId string

@description('Resource id of the Application Insights component, under which the workbook is found and the ready probe runs.')
param applicationInsightsId string

@description('Where alerts are sent; empty: there are none, and no probe, which would keep an instance awake.')
param alertEmail string

@description('Resource id of the Cosmos DB account.')
param cosmosAccountId string

@description('Address of GET /api/ready, probed from outside every five minutes.')
param readyUrl string

module alerts 'alerts.bicep' = if (!empty(alertEmail)) {
  name: 'alerts'
  params: {
    location: location
    tags: tags
    environmentName: environmentName
    logAnalyticsWorkspaceId: logAnalyticsWorkspaceId
    cosmosAccountId: cosmosAccountId
    alertEmail: alertEmail
  }
}

module readyProbe 'ready-probe.bicep' = if (!empty(alertEmail)) {
  name: 'ready-probe'
  params: {
    location: location
    tags: tags
    environmentName: environmentName
    applicationInsightsId: applicationInsightsId
    readyUrl: readyUrl
  }
}

module workbook 'workbook.bicep' = {
  name: 'workbook'
  params: {
    location: location
    tags: tags
    environmentName: environmentName
    logAnalyticsWorkspaceId: logAnalyticsWorkspaceId
    applicationInsightsId: applicationInsightsId
  }
}

module dashboard 'dashboard.bicep' = {
  name: 'dashboard'
  params: {
    location: location
    tags: tags
    environmentName: environmentName
    logAnalyticsWorkspaceId: logAnalyticsWorkspaceId
  }
}
