-- What a hospital's routing rule does: each CT series that has arrived goes to LungSpread, in one association.
-- What comes back is SEG and SR, so nothing goes round in circles.
function OnStableSeries(series, tags, _)
  if tags['Modality'] == 'CT' then
    RestApiPost('/modalities/lungspread/store', '{"Resources": ["' .. series .. '"], "Synchronous": false}')
  end
end
