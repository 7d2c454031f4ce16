-- Routing rule as in a hospital: each complete CT series is sent to LungSpread over one association.
-- The results are SEG and SR, which are not forwarded, so there is no loop.
function OnStableSeries(series, tags, _)
  if tags['Modality'] == 'CT' then
    RestApiPost('/modalities/lungspread/store', '{"Resources": ["' .. series .. '"], "Synchronous": false}')
  end
end
